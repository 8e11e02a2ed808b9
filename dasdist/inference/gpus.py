"""Which of the GPUs that a process sees it computes on: workers on one machine take turns.

::

    GPUs that are seen      0   1   2   3          one that sees a single GPU, as those that
    workers, by number      0   1   2   3          dasdist.cluster.worker starts, has that
                            4   5   6   7
"""

import torch

__all__ = ["device_of_process", "take_turn"]

_turn = [0]


def take_turn(number: int) -> None:
    """Say how many workers come before this one; without that it takes the first GPU."""
    _turn[0] = number


def device_of_process() -> torch.device:
    """Return the GPU that this process computes on; the CPU where torch sees none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", _turn[0] % torch.cuda.device_count())
