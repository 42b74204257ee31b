"""Does a model in service still work, and are its inputs still those it was tested on: month by month against its reference.

The reference is what the model was put in service with: its predictions on the headline test, and the notes of that test. Plain
functions over predictions and notes; docs/drift.md says what each number is and how often a check fails by chance.
"""
