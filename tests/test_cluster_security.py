"""Who may join a cluster, and where it listens."""

import socket
import stat

import pytest

import dasdist
from dasdist.cluster.certificates import make_certificates, remove_certificates, security_of
from dasdist.cluster.network import address_of, listening_address, tunnel


def modes(folder):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_certificates_are_for_their_user_alone(tmp_path):
    folder = tmp_path / "run"
    assert security_of(folder) is None
    made = make_certificates(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert modes(folder) == {"certificate.pem": 0o600, "key.pem": 0o600}
    assert made.require_encryption
    # what ends on a worker's command line, which everybody on its machine can read
    assert "PRIVATE" not in str(made.get_tls_config_for_role("worker"))
    found = security_of(folder)
    for role in ("client", "scheduler", "worker"):
        assert found.get_tls_config_for_role(role) == made.get_tls_config_for_role(role)
        found.get_connection_args(role)  # OpenSSL takes them
    remove_certificates(folder)
    assert security_of(folder) is None
    assert modes(folder) == {}


def test_no_key_goes_into_a_folder_that_others_can_read(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(dasdist.InvalidInput, match=r"mode 755.*chmod 700"):
        make_certificates(folder)
    assert modes(folder) == {}


def test_certificates_of_two_runs_differ(tmp_path):
    for name in ("a", "b"):
        make_certificates(tmp_path / name)
    assert (tmp_path / "a/key.pem").read_text() != (tmp_path / "b/key.pem").read_text()


def test_loopback_is_taken_only_if_it_is_named():
    assert listening_address("lo") == address_of("lo") == "127.0.0.1"
    with pytest.raises(dasdist.InvalidInput, match="No interface but loopback leads to the nodes"):
        listening_address(hosts=["127.0.0.1"])


def test_an_interface_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(
        dasdist.InvalidInput, match=r"no interface ib7 .* it has .*lo \(127.0.0.1\)"
    ):
        listening_address("ib7")


def test_the_address_is_one_of_this_machine_and_no_wildcard():
    try:
        address = listening_address()
    except dasdist.InvalidInput:
        pytest.skip("this machine has loopback only")
    assert not address.startswith(("127.", "0."))
    with socket.socket() as server:
        server.bind((address, 0))  # only an address of this machine can be bound


def test_the_tunnel_leads_to_the_dashboard_on_the_clusters_loopback():
    words = tunnel(4321, "login1").split()
    assert words[:-1] == ["ssh", "-N", "-L", "8787:127.0.0.1:4321"]
    assert words[-1].endswith("@login1")
