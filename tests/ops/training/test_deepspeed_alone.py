"""What a rank and its launcher load."""

import subprocess
import sys

AFTERWARDS = "; import sys; assert 'mlflow' not in sys.modules; import mlflow; print(mlflow.__name__)"


def test_a_rank_does_not_load_mlflow() -> None:
    """And whoever wants it afterwards finds it."""
    words = f"import lang1_assets.ops.finetuning.__main__{AFTERWARDS}"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "mlflow"


def test_mlflow_that_is_there_stays() -> None:
    words = "import mlflow, lang1_assets.ops.training.deepspeed_alone, sys; assert sys.modules['mlflow'] is mlflow"
    subprocess.run([sys.executable, "-c", words], check=True)


def test_it_is_deepspeed_s_launcher() -> None:
    words = [sys.executable, "-m", "lang1_assets.ops.training.deepspeed_alone", "--help"]
    assert "DeepSpeed distributed training launch" in subprocess.run(words, capture_output=True, text=True).stdout
