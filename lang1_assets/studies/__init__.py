"""What is concluded from models and evaluations: analyses, studies, model cards and the report."""
