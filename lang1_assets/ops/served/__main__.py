"""lm-evaluation-harness's own command line, with `lang1-served` among its models: the harness finds no models by itself."""

from lm_eval.__main__ import cli_evaluate

import lang1_assets.ops.served.harness_model  # noqa: F401

if __name__ == "__main__":
    cli_evaluate()
