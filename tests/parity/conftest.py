"""Turns what the golden folder holds into test parameters."""

from tests.parity.fixtures import case_names, read_json


def forward_cases(folder, stem):
    return [name for name in case_names(folder, stem, "cases") if (folder / f"{stem}.safetensors").is_file()]


def component_names(folder, part, depth):
    """Distinct names, ``depth`` parts long, of the tensors below ``part``."""
    from safetensors import safe_open

    path = folder / "components.safetensors"
    if not path.is_file():
        return []
    with safe_open(path, "pt") as file:
        split = [name.split("/") for name in file.keys()]  # noqa: SIM118
    return sorted({"/".join(parts[1 : 1 + depth]) for parts in split if parts[0] == part})


def schedules(folder):
    return [name for name in case_names(folder, "components", "schedule") if name != "switches"]


def seeds(folder):
    return read_json(folder / "checksums.json")["seeded"] if (folder / "checksums.json").is_file() else []


PARAMETERS = {
    "f32_case": lambda folder: forward_cases(folder, "forward_f32"),
    "bf16_case": lambda folder: forward_cases(folder, "forward_bf16"),
    "f32_task": lambda folder: case_names(folder, "sampling", "float32"),
    "bf16_task": lambda folder: case_names(folder, "sampling", "bfloat16"),
    "window": lambda folder: component_names(folder, "a2v_window", 1),
    "weights": lambda folder: component_names(folder, "v2a", 2),
    "rotation": lambda folder: component_names(folder, "rope", 2),
    "sinusoid_dim": lambda folder: component_names(folder, "time_sinusoid", 1),
    "speech_text": lambda folder: component_names(folder, "text_encoder", 1),
    "schedule": schedules,
    "switch_task": lambda folder: case_names(folder, "components", "schedule", "switches"),
    "seed": seeds,
}


def pytest_generate_tests(metafunc):
    folder = metafunc.config.getoption("golden").resolve()
    for name in set(PARAMETERS) & set(metafunc.fixturenames):
        values = PARAMETERS[name](folder)
        metafunc.parametrize(name, values, ids=lambda value: value if isinstance(value, str) else value["name"])
