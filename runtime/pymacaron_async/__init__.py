"""Old name of pymacaron.tasks."""
