"""What a model has by heart of the text that it was trained on, along its checkpoints.

Two measures. *Exposure* of planted identifiers (Carlini et al., The Secret Sharer, USENIX Security 2019): how far up a
made-up number stands among random others of its form, in bits. *Verbatim continuation* (Carlini et al., Quantifying
Memorization Across Neural Language Models, ICLR 2023): how often the model goes on with a training text word for word,
beside held-out text of the same kind.
"""
