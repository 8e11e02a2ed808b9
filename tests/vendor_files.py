"""Writers of files in vendors' layouts, as libraries read them."""

from __future__ import annotations

import h5py
import numpy as np

START = np.datetime64("2024-05-01T00:00:00", "ns")


def febus(path, values, rate, start=START, spacing=10.0, name="StrainRate"):
    """Febus A1: blocks of one second without overlap, each with the time of its middle.

    ``values`` are samples x channels, whole seconds of them.
    """
    blocks = len(values) // rate
    begin = start.astype("datetime64[ns]").astype(np.int64) / 1e9
    with h5py.File(path, "w") as file:
        source = file.create_group("fa1-1/Source1")
        source["time"] = begin + (rate // 2) / rate + np.arange(blocks, dtype=np.float64)
        zone = source.create_group("Zone1")
        zone.attrs["BlockRate"] = [1000]
        zone.attrs["Spacing"] = [spacing, 1000 / rate, 1.0]
        zone.attrs["Extent"] = [0, values.shape[1] - 1, 0, rate - 1, 0, 0]
        zone.attrs["Origin"] = [0.0, 0.0, 0.0]
        zone[name] = values.reshape(blocks, rate, -1)


def gdr(path, values, rate, start=START, spacing=4.0):
    """Geothermal Data Repository: DAS-RCN metadata over ProdML 2.2, channels first."""
    with h5py.File(path, "w") as file:
        meta, raw = file.create_group("DasMetadata"), file.create_group("DasRawData")
        meta.attrs["MetadataStandard"] = "DAS-RCN v1.10"
        meta.attrs["RawDataStandard"] = "PRODML v2.2"
        acquisition = meta.create_group("Interrogator/Acquisition")
        meta["Interrogator"].attrs["SerialNumber"] = "1"
        acquisition.attrs.update(
            GaugeLength=10.0,
            GaugeLengthUnit="m",
            UnitOfMeasure="rad",
            SpatialSamplingInterval=spacing,
            SpatialSamplingIntervalUnit="m",
        )
        raw["RawData"] = values.T
        raw["RawData"].attrs["DasDimensions"] = ["locus", "time"]
        raw["DasTimeArray"] = (start + stamps(len(values), rate)).astype(np.int64)


def dashdf5(path, values, rate, start=START, spacing=8.0):
    """DAS-HDF5, the subset of CF that PoroTomo's data have: seconds since 1970 as doubles."""
    channels = np.arange(values.shape[1])
    with h5py.File(path, "w") as file:
        file.attrs["Conventions"] = ["CF-1.7", "DAS-HDF5-1.0"]
        file["das"] = values.T
        file["channel"], file["trace"] = channels, np.arange(len(values))
        file["t"] = (start + stamps(len(values), rate)).astype(np.int64) / 1e9
        for name, factor in {"x": 1.0, "y": 0.5, "z": -0.25}.items():
            file[name] = factor * spacing * channels
            file[name].attrs["units"] = "m"


def sintela(path, values, rate, start=START, spacing=1.5, packet=250, gauge=10.0):
    """Sintela's binary format, version 3: packets of some samples, each behind a header."""
    header = np.zeros(1, dtype=SINTELA_HEADER)
    with open(path, "wb") as file:
        for first in range(0, len(values), packet):
            part = np.ascontiguousarray(values[first : first + packet], dtype="<f4")
            time = (start + stamps(len(values), rate)[first]).astype(np.int64)
            facts = {
                "sync_word": 0x11223344,
                "header_size": SINTELA_HEADER.itemsize,
                "version": 3,
                "start_time_ns": time,
                "num_channels": part.shape[1],
                "num_samples": len(part),
                "sample_rate": rate,
                "channel_spacing": spacing,
                "gauge_length": gauge,
                "start_channel": 10,
                "channel_step": 1,
            }
            for name, value in facts.items():
                header[name] = value
            file.write(header.tobytes() + part.tobytes())


SINTELA_HEADER = np.dtype(
    [
        *((name, "<u4") for name in ("sync_word", "header_size", "version")),
        *((name, "<u8") for name in ("sample_count", "start_time_ns")),
        *((name, "<u4") for name in ("num_channels", "num_samples")),
        *((name, "<f4") for name in ("sample_rate", "channel_spacing", "gauge_length")),
        *((name, "<u4") for name in ("trigger", "start_channel", "channel_step", "gps_time")),
        ("gps_offset", "<i4"),
        ("gps_status", "<u4"),
        *((f"flags_{i}", "<u1") for i in range(6)),
        ("unused", "<u2"),
        ("trigger_offsets", "<u2", (8,)),
    ]
)


def neubrex(path, values, rate, start=START, spacing=2.0):
    """Neubrex's DAS: one dataset, with all else in its attributes."""
    with h5py.File(path, "w") as file:
        file["Acoustic"] = values
        file["Acoustic"].attrs.update(
            {
                "NEUBRESCOPE.DAS.Model": "NBX",
                "NEUBRESCOPE.DAS.SerialNum": "1",
                "StartPosition": 100.0,
                "StopPosition": 100.0 + spacing * (values.shape[1] - 1),
                "StartStopPositionUnit": "m",
                "SpatialSamplingInterval": spacing,
                "TimeSamplingInterval(seconds)": 1 / rate,
                "GPSTimeStamp(UTC)": str(start.astype("M8[us]")),
                "CPUTimeStamp(UTC)": str(start.astype("M8[us]")),
                "TimeDecimationFilter": 1,
                "DistanceDecimationFilter": 1,
                "GaugeLength": 10.0,
                "DataPhysicalUnit": "rad",
            }
        )


def silixa_h5(path, values, rate, start=START, spacing=1.0):
    """Silixa's HDF5, as Carina writes it."""
    stamp = start.astype("M8[ms]").item().strftime("%d/%m/%Y %H:%M:%S.%f (UTC)")
    with h5py.File(path, "w") as file:
        file["Acoustic"] = values
        file["Acoustic"].attrs.update(
            {
                "GaugeLength": 10.0,
                "SamplingFrequency[Hz]": float(rate),
                "Fibre Length Multiplier": 1.0,
                "Start Distance (m)": 0.0,
                "Stop Distance (m)": spacing * values.shape[1],
                "Fibre Length per Metre": 1.0,
                "GPSTimeStamp": stamp,
                "CPUTimeStamp": stamp,
                "Tags": "",
                "PulseWidth[ns]": 50.0,
                "MeasureLength[m]": spacing * values.shape[1],
                "StartPosition[m]": 0.0,
                "SpatialResolution[m]": spacing,
                "SystemInfomation.Devices1.SerialNum": "1",
            }
        )


def uptech(path, values, rate, start=START, spacing=5.0):
    """Uptech's AS1000: times are doubles, so that they jitter by some hundred nanoseconds."""
    with h5py.File(path, "w") as file:
        file["Acquisition/StrainRate"] = values
        times = start.astype("M8[ns]").astype(np.int64) / 1e9 + np.arange(len(values)) / rate
        file["Acquisition/Time"] = times
        file["Acquisition/StrainRate"].attrs.update(
            acquisition_frequency=float(rate),
            fiber_length=spacing * values.shape[1],
            gauge_length=10.0,
            sampling_interval=spacing,
            spatial_resolution=spacing,
        )


def sentek(folder, values, rate, start=START, spacing=2.0):
    """Sentek's format as DASCore reads it: a row of floats, then the channels; time in the name.

    DASCore reads no file of the first ten seconds of a minute.
    """
    samples, channels = values.shape
    row = np.zeros(samples, "<f4")
    row[:6] = channels, samples, 1e9 / rate, 1, 0, 1
    row[[6, channels - 1]] = 0.0, spacing * channels
    row[[channels, samples - 1]] = 0.0, samples / rate
    name = start.astype("M8[ms]").item().strftime("%Y%m%d%H%M%S%f")[:17]
    path = folder / f"DASDMSShot00_{name}.das"
    path.write_bytes(row.tobytes() + np.ascontiguousarray(values, "<f4").tobytes())
    return path


def segy(path, values, rate, start=START, format=5):
    """SEG-Y by segyio: a trace for each channel, in IEEE floats (5), IBM's (1) or int16 (3)."""
    import segyio

    spec = segyio.spec()
    spec.format = format
    spec.samples = np.arange(len(values)) * 1000 / rate
    spec.tracecount = values.shape[1]
    day = start.astype("M8[s]").item()
    with segyio.create(str(path), spec) as file:
        file.bin.update(hdt=round(1e6 / rate), hns=len(values), rev=256)
        for channel in range(values.shape[1]):
            file.header[channel] = {
                segyio.su.ns: len(values),
                segyio.su.dt: round(1e6 / rate),
                segyio.su.year: day.year,
                segyio.su.day: day.timetuple().tm_yday,
                segyio.su.hour: day.hour,
                segyio.su.minute: day.minute,
                segyio.su.sec: day.second,
            }
            file.trace[channel] = np.ascontiguousarray(values[:, channel], spec_dtype(format))


def spec_dtype(format):
    return {1: "f4", 3: "i2", 5: "f4"}[format]


def stamps(count, rate):
    return np.rint(np.arange(count) * 1e9 / rate).astype("m8[ns]")


def prodml(path, values, rate, start=START, spacing=10.0, index=0, number=b"1"):
    """ProdML 2.0: the times of the first and last sample as texts, and all in microseconds."""
    samples, channels = values.shape
    times = start.astype("M8[us]") + np.rint(np.arange(samples) * 1e6 / rate).astype("m8[us]")
    first, last = (np.bytes_(f"{time}+00:00") for time in times[[0, -1]])
    part = {"StartIndex": index, "PartStartTime": first, "PartEndTime": last}
    with h5py.File(path, "w") as file:
        acquisition = file.create_group("Acquisition")
        acquisition.attrs.update(
            GaugeLength=10.0,
            NumberOfLoci=channels,
            SpatialSamplingInterval=spacing,
            SpatialSamplingIntervalUnit=b"m",
            StartLocusIndex=0,
            AcquisitionId=number,
            MeasurementStartTime=np.bytes_(f"{times[0] - np.timedelta64(3600, 's')}+00:00"),
        )
        raw = acquisition.create_group("Raw[0]")
        raw.attrs.update(NumberOfLoci=channels, OutputDataRate=float(rate), RawDataUnit=b"rad")
        raw["RawData"] = values
        raw["RawData"].attrs.update(Count=values.size, Dimensions=[b"time", b"locus"], **part)
        raw["RawDataTime"] = times.astype(np.int64)
        raw["RawDataTime"].attrs.update(Count=samples, **part)


def asn(path, values, rate, start=START, spacing=4.0):
    """ASN's OptoDAS, as much of it as xdas reads."""
    with h5py.File(path, "w") as file:
        file["data"] = values
        file["header/time"] = start.astype("M8[ns]").astype(np.int64) / 1e9
        file["header/dt"], file["header/dx"] = 1 / rate, spacing
        file["cableSpec/sensorDistances"] = spacing * np.arange(values.shape[1])
        for name, value in {"roiStart": 0, "roiEnd": values.shape[1] - 1, "roiDec": 1}.items():
            file[f"demodSpec/{name}"] = [value]


def apsensing(path, values, rate, start=START, spacing=1.25):
    """AP Sensing, as much of it as xdas reads."""
    with h5py.File(path, "w", libver="earliest") as file:
        file["DAS"] = values
        file["Metadata/Timestamp"] = [f"{start.astype('M8[us]')}Z"]
        file["ProcessingServer/DataRate"] = [float(rate)]
        file["ProcessingServer/SpatialSampling"] = [spacing]
        file["DAQ/PositionStart"] = [0.0]


def terra15(path, values, rate, start=START, spacing=5.0):
    """Terra15's Treble, as much of it as xdas reads, and times that it does not."""
    times = start.astype("M8[ns]").astype(np.int64) / 1e9 + np.arange(len(values)) / rate
    with h5py.File(path, "w", track_times=True) as file:
        file.attrs.update(dx=spacing, sensing_range_start=30.0)
        for clock in ("gps", "computer"):
            file.attrs[f"file_start_{clock}_time"] = times[0]
        file.attrs["file_start_computer_time_string"] = f"{start.astype('M8[us]')}Z"
        for name, what in {"data": values, "gps_time": times, "posix_time": times}.items():
            file.create_dataset(f"data_product/{name}", data=what, chunks=what.shape)
