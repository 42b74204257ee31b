"""The paper's figures as data and pictures, and its findings as claims (figures 2 - 5, A - F, K - M)."""
