"""The benchmark for lm-evaluation-harness: one folder that its own command line includes (paper 5.5, M40).

    lm_eval run --model hf --model_args pretrained=MODEL,add_bos_token=True,dtype=float32 --include_path FOLDER \\
        --tasks remede --num_fewshot 2

The folder is made from the same task definitions, notes and cuts as the project's own scoring, and gives the same prompts and
the same probabilities: the harness ranks the letters by log-likelihood, and normalised those are the letters' softmax. It holds
the tasks that the source supplies, one test split of each, and a few training notes for few-shot prompts. The files in it hold
notes, so they are as private as the notes.
"""
