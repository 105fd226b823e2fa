"""An example of every operator, for the reference page that shows their SQL.

The examples are of a model `Sale`: `id`, `city` (text, or null), `amount` (a whole
number), `placed` (an instant), `tags` (a list), `data` (a dict).
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "ACCUMULATORS",
    "COLUMN_FILTERS",
    "EXPRESSIONS",
    "JOINED_FILTERS",
    "JSON_FILTERS",
    "STAGES",
]

Examples = dict[str, Any]

COLUMN_FILTERS: Examples = {
    "$eq": {"amount": {"$eq": 5}},
    "$ne": {"city": {"$ne": "Rome"}},
    "$gt": {"amount": {"$gt": 5}},
    "$gte": {"amount": {"$gte": 5}},
    "$lt": {"amount": {"$lt": 5}},
    "$lte": {"amount": {"$lte": 5}},
    "$between": {"amount": {"$between": [5, 9]}},
    "$in": {"amount": {"$in": [5, 9]}},
    "$nin": {"city": {"$nin": ["Rome", "Oslo"]}},
    "$null": {"city": {"$null": True}},
    "$exists": {"city": {"$exists": True}},
    "$startswith": {"city": {"$startswith": "R"}},
    "$endswith": {"city": {"$endswith": "o"}},
    "$contains": {"city": {"$contains": "50%"}},
    "$icontains": {"city": {"$icontains": "om"}},
    "$like": {"city": {"$like": "R_m%"}},
    "$ilike": {"city": {"$ilike": "r_m%"}},
    "$regex": {"city": {"$regex": "^R.*e$", "$options": "i"}},
    "$not": {"city": {"$not": {"$startswith": "R"}}},
}

JSON_FILTERS: Examples = {
    "$eq": {"data.color": {"$eq": "red"}},
    "$ne": {"data.color": {"$ne": "red"}},
    "$gt": {"data.size": {"$gt": 5}},
    "$gte": {"data.size": {"$gte": 5}},
    "$lt": {"data.size": {"$lt": 5}},
    "$lte": {"data.size": {"$lte": 5}},
    "$between": {"data.size": {"$between": [5, 9]}},
    "$in": {"data.color": {"$in": ["red", "blue"]}},
    "$nin": {"data.color": {"$nin": ["red", "blue"]}},
    "$null": {"data.color": {"$null": True}},
    "$exists": {"data.color": {"$exists": True}},
    "$startswith": {"data.color": {"$startswith": "re"}},
    "$endswith": {"data.color": {"$endswith": "ed"}},
    "$contains": {"tags": {"$contains": "new"}},
    "$icontains": {"data.color": {"$icontains": "RE"}},
    "$like": {"data.color": {"$like": "r_d"}},
    "$ilike": {"data.color": {"$ilike": "R_D"}},
    "$regex": {"data.color": {"$regex": "^re"}},
    "$size": {"tags": {"$size": {"$gt": 3}}},
    "$all": {"tags": {"$all": ["new", "vip"]}},
    "$elemMatch": {"data.items": {"$elemMatch": {"sku": "a", "n": {"$gt": 1}}}},
    "$not": {"data.size": {"$not": {"$gt": 5}}},
}

JOINED_FILTERS: Examples = {
    "$and": {"$and": [{"amount": 5}, {"amount": {"$lt": 9}}]},
    "$or": {"$or": [{"amount": 5}, {"city": "Rome"}]},
    "$nor": {"$nor": [{"amount": 5}, {"city": "Rome"}]},
    "$not": {"$not": {"amount": 5, "city": "Rome"}},
}

STAGES: Examples = {
    "$match": {"$match": {"amount": {"$gt": 5}}},
    "$group": {"$group": {"_id": "$city", "total": {"$sum": "$amount"}}},
    "$project": {"$project": {"city": 1, "double": {"$multiply": ["$amount", 2]}}},
    "$addFields": {"$addFields": {"double": {"$multiply": ["$amount", 2]}}},
    "$set": {"$set": {"double": {"$multiply": ["$amount", 2]}}},
    "$sort": {"$sort": {"amount": -1}},
    "$limit": {"$limit": 3},
    "$skip": {"$skip": 3},
    "$count": {"$count": "sales"},
    "$sortByCount": {"$sortByCount": "$city"},
    "$distinct": {"$distinct": "city"},
    "$bucket": {"$bucket": {"groupBy": "$amount", "boundaries": [0, 10], "default": 10}},
    "$unwind": {"$unwind": "$tags"},
    "$lookup": {
        "$lookup": {"from": "cities", "localField": "city", "foreignField": "name", "as": "found"}
    },
    "$facet": {"$facet": {"number": [{"$count": "n"}]}},
}

ACCUMULATORS: Examples = {
    "$sum": {"$sum": "$amount"},
    "$avg": {"$avg": "$amount"},
    "$min": {"$min": "$amount"},
    "$max": {"$max": "$amount"},
    "$count": {"$count": {}},
    "$first": {"$first": "$amount"},
    "$last": {"$last": "$amount"},
    "$push": {"$push": "$amount"},
    "$addToSet": {"$addToSet": "$amount"},
    "$stdDevPop": {"$stdDevPop": "$amount"},
    "$stdDevSamp": {"$stdDevSamp": "$amount"},
}

EXPRESSIONS: Examples = {
    "$add": {"$add": ["$amount", "$id", 1]},
    "$subtract": {"$subtract": ["$amount", 1]},
    "$multiply": {"$multiply": ["$amount", 2]},
    "$divide": {"$divide": ["$amount", 4]},
    "$mod": {"$mod": ["$amount", 4]},
    "$abs": {"$abs": "$amount"},
    "$round": {"$round": ["$amount", -1]},
    "$concat": {"$concat": ["$city", "!"]},
    "$toUpper": {"$toUpper": "$city"},
    "$toLower": {"$toLower": "$city"},
    "$substr": {"$substr": ["$city", 0, 3]},
    "$eq": {"$eq": ["$amount", 5]},
    "$ne": {"$ne": ["$amount", 5]},
    "$gt": {"$gt": ["$amount", 5]},
    "$gte": {"$gte": ["$amount", 5]},
    "$lt": {"$lt": ["$amount", 5]},
    "$lte": {"$lte": ["$amount", 5]},
    "$and": {"$and": [{"$eq": ["$id", 1]}, {"$eq": ["$amount", 5]}]},
    "$or": {"$or": [{"$eq": ["$id", 1]}, {"$eq": ["$amount", 5]}]},
    "$not": {"$not": {"$eq": ["$id", 1]}},
    "$cond": {"$cond": [{"$eq": ["$id", 1]}, "one", "more"]},
    "$switch": {
        "$switch": {
            "branches": [{"case": {"$eq": ["$id", 1]}, "then": "one"}],
            "default": "more",
        }
    },
    "$ifNull": {"$ifNull": ["$city", "none"]},
    "$dateTrunc": {"$dateTrunc": {"date": "$placed", "unit": "month"}},
    "$year": {"$year": "$placed"},
    "$month": {"$month": "$placed"},
    "$dayOfMonth": {"$dayOfMonth": "$placed"},
    "$dayOfWeek": {"$dayOfWeek": "$placed"},
    "$dayOfYear": {"$dayOfYear": "$placed"},
    "$hour": {"$hour": "$placed"},
    "$minute": {"$minute": "$placed"},
    "$second": {"$second": "$placed"},
    "$size": {"$size": "$tags"},
    "$in": {"$in": ["new", "$tags"]},
    "$literal": {"$literal": "$5"},
}
