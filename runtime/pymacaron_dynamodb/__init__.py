"""Old name of pymacaron.dynamodb."""
