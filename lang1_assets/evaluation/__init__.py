"""Every model on the benchmark, wherever it comes from: probabilities, numbers and the leaderboard."""
