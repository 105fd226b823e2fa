"""The base of all repositories: create, find, change, delete, pages; it never commits."""

from dataflow.repositories import AsyncRepository as BaseRepository

__all__ = ["BaseRepository"]
