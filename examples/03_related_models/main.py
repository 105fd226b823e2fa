"""Two models, a foreign key, a connection that carries it, and links loaded on request."""

import sys

from dataflow import DataFlow, Field, LocalRuntime, Relationship, WorkflowBuilder

db = DataFlow(*sys.argv[1:2])


@db.model
class Author:
    name: str
    posts: list["Post"] = Relationship(back_populates="author")


@db.model
class Post:
    title: str
    author_id: int = Field(foreign_key="authors.id")
    author: Author = Relationship(back_populates="posts")


def main() -> None:
    workflow = WorkflowBuilder("publish", db=db)
    author = workflow.add_node("AuthorCreateNode", "author", {"name": "Ada"})
    # Three spellings of the same connection: a reference, add_connection, connect.
    workflow.add_node("PostCreateNode", "first", {"title": "Notes", "author_id": author["id"]})
    workflow.add_node("PostCreateNode", "second", {"title": "More notes"})
    workflow.add_connection("author", "id", "second", "author_id")
    workflow.add_node("PostCreateNode", "third", {"title": "Last notes"})
    workflow.connect("author.id", "third.author_id")
    # One more statement for all posts of an author, and one for all authors of the posts.
    workflow.add_node("AuthorReadNode", "profile", {"id": author["id"], "include": ["posts"]})
    workflow.add_node("PostListNode", "feed", {"sort": "-id", "include": ["author"]})

    results, _ = LocalRuntime().execute(workflow)

    profile = results["profile"]
    print(f"{profile['name']} wrote {', '.join(post['title'] for post in profile['posts'])}")
    for post in results["feed"]["records"]:
        print(f"{post['id']}  {post['title']}, by {post['author']['name']}")


if __name__ == "__main__":
    main()
