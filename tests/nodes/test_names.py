"""Names that saved graphs and API prompts depend on change only together with ``names.json``."""

import json
import re

import pytest

from tools.node_names import FROM_FOLDERS, NAMES, node_names

IDENTIFIER = re.compile(r"[a-z0-9_]+")


@pytest.fixture(scope="module")
def schemas(pack):
    """Schemas of all nodes by id."""
    return {node.GET_SCHEMA().node_id: node.GET_SCHEMA() for node in pack.nodes.NODES}


def test_ids_sockets_and_options_are_those_on_record(schemas):
    known = json.loads(NAMES.read_text(encoding="utf-8"))
    assert {name: node_names(schema) for name, schema in schemas.items()} == known


def values_of(inputs):
    """Name of every input, and its options, those of a choice's own inputs included."""
    for name, value in inputs.items():
        options = list(value) if isinstance(value, (list, dict)) else []
        yield name, options
        for own in value.values() if isinstance(value, dict) else ():
            yield from values_of(own)


def test_names_and_options_are_short_identifiers(schemas):
    for schema in schemas.values():
        for name, options in values_of(node_names(schema)["inputs"]):
            assert all(IDENTIFIER.fullmatch(word) for word in (name, *options)), (schema.node_id, name, options)


def test_every_node_is_found_by_other_words_and_says_what_each_socket_is(schemas):
    for schema in schemas.values():
        assert schema.node_id.startswith("UniAVGen")
        assert schema.display_name.startswith("UniAVGen ")
        assert schema.search_aliases, schema.node_id
        assert all(one.tooltip for one in (*schema.inputs, *schema.outputs)), schema.node_id


def test_only_choices_of_files_are_left_out_of_the_record(schemas):
    types = {one.id: one.get_io_type() for schema in schemas.values() for one in schema.inputs}
    assert FROM_FOLDERS - types.keys() == set()
