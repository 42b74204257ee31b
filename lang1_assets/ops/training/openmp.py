"""How the threads of one process wait for each other. No torch here."""

SPIN_SHORTLY = {"GOMP_SPINCOUNT": "3000"}
"""For the environment, before torch is loaded. OpenMP's threads wait by spinning, 300,000 rounds by default, which takes
the core from whoever they wait for as soon as anything else runs. Notes a second of the tiny model's finetuning on two
cores, alone and beside another job of the kind: by default 90 and 5 to 40; asleep at once (OMP_WAIT_POLICY=passive) 65
and 56; with 3,000 rounds 88 and 31; with 30,000 rounds 93 and under 5."""
