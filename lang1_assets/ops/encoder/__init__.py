"""The encoder control: masked-token pretraining, one classification head a task (Fig. D4; NYUTron, Jiang et al. 2023)."""
