"""Old name of pymacaron.dynamodb."""

from pymacaron.dynamodb import DynamoDBItemNotFound, PersistentSwaggerObject

__all__ = ["DynamoDBItemNotFound", "PersistentSwaggerObject"]
