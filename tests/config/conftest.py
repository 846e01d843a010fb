import pytest

from tests.config.settings import MINIMAL, to_toml
from titand.config_text import load_config


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """Load a configuration from a file with these values, and an environment."""
    path = tmp_path_factory.mktemp("config") / "titand.toml"

    def load(values, environment=None, minimal=True):
        path.write_text(to_toml({**MINIMAL, **values} if minimal else values), encoding="utf-8")
        return load_config(path, environment or {})

    load.path = path
    return load
