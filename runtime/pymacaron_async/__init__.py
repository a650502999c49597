"""Old name of pymacaron.tasks."""

from pymacaron.tasks import asynctask, is_celery_task, kill_celery, start_celery

__all__ = ["asynctask", "is_celery_task", "kill_celery", "start_celery"]
