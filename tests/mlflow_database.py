"""An empty MLflow for the tests of a module: its tables take seconds to make."""

from pathlib import Path

import pytest

from lang1_assets.resources.tracking import Tracking


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    tracking = Tracking(tracking_uri=f"sqlite:///{path}", ui_url="", artifact_root="", dagster_url="")
    tracking._client().search_experiments()
    return path
