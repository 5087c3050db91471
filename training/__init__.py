"""The offline side: datasets, models, evaluation, and the only writer of MLflow."""
