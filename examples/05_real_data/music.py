"""The models of a music store, in the shape of the Chinook sample database."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from dataflow import DataFlow, Field

Price = Annotated[Decimal, Field(max_digits=10, decimal_places=2, ge=0)]


def declare_models(db: DataFlow) -> None:
    """Declare the store's models on a database."""

    @db.model(timestamps=False)
    class Artist:
        id: int
        name: str = Field(max_length=120)

    @db.model(timestamps=False)
    class Album:
        id: int
        title: str = Field(max_length=160)
        artist_id: int = Field(foreign_key=Artist, index=True)

    @db.model(timestamps=False)
    class Track:
        id: int
        name: str = Field(max_length=200)
        album_id: int = Field(foreign_key=Album, index=True)
        genre: str = Field(max_length=120)
        milliseconds: int = Field(gt=0)
        unit_price: Price

    @db.model(timestamps=False)
    class Customer:
        id: int
        first_name: str = Field(max_length=40)
        last_name: str = Field(max_length=20)
        email: str = Field(unique=True, max_length=60)
        country: str = Field(max_length=40)

    @db.model(timestamps=False)
    class Invoice:
        id: int
        customer_id: int = Field(foreign_key=Customer, index=True)
        invoice_date: datetime
        billing_country: str = Field(max_length=40)
        total: Price

    @db.model(timestamps=False)
    class InvoiceLine:
        id: int
        invoice_id: int = Field(foreign_key=Invoice, index=True)
        track_id: int = Field(foreign_key=Track, index=True)
        unit_price: Price
        quantity: int = Field(gt=0)

    @db.model
    class MonthlyRevenue:
        month: str = Field(primary_key=True, pattern=r"^\d{4}-\d\d$")
        revenue: Price
        invoices: int
        lines: int
