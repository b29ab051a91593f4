"""Networks whose weights come later."""

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from uniavgen_core.config import TOON
from uniavgen_core.layers.uninitialized import uninitialized
from uniavgen_core.model.joint import JointModel

RANDOM = {"normal_", "uniform_"}


class Operations(TorchDispatchMode):
    """Names of the operations that were run."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_no_random_number_is_drawn_and_no_memory_taken_for_weights_that_come_later():
    with Operations() as drawn:
        model = JointModel(TOON)
    with Operations() as later, uninitialized():
        empty = JointModel(TOON)
    assert drawn.names >= RANDOM
    assert not later.names & RANDOM
    assert {tensor.device.type for tensor in empty.state_dict().values()} == {"meta"}
    empty.load_state_dict(model.state_dict(), assign=True)
    assert all(empty.state_dict()[name].data_ptr() == value.data_ptr() for name, value in model.state_dict().items())


def test_afterwards_layers_have_initial_weights_again():
    with uninitialized():
        pass
    assert nn.Linear(8, 8).weight.std() > 0.1
