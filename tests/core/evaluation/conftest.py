"""What tests of measures share."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def measured(faces_are_found_once):
    """Find the faces of equal pictures once."""
