"""Models: pretrained, finetuned, untrained, and the one way of making each."""
