"""What each database says for the calls of pipelines: the one place of such differences.

`{0}` is the first argument, `{all}` all of them. A document is `jsonb` on PostgreSQL and
JSON text on SQLite; where it is missing it is NULL, and JSON's null is a document.
"""

from __future__ import annotations

__all__ = ["WORDS"]

_POSTGRESQL = {
    # ------------------------------------------------------------ documents
    "json of int": "coalesce(to_jsonb({0}), 'null'::jsonb)",
    "json of float": "coalesce(to_jsonb({0}), 'null'::jsonb)",
    "json of number": "coalesce(to_jsonb({0}), 'null'::jsonb)",
    "json of uuid": "coalesce(to_jsonb(CAST({0} AS text)), 'null'::jsonb)",
    "json of decimal": "coalesce(to_jsonb(CAST({0} AS text)), 'null'::jsonb)",
    "json number of decimal": "coalesce(to_jsonb({0}), 'null'::jsonb)",
    "json of text": "coalesce(to_jsonb(CAST({0} AS text)), 'null'::jsonb)",
    "json of bool": "coalesce(to_jsonb({0}), 'null'::jsonb)",
    "json of instant": (
        "coalesce(to_jsonb(to_char({0} AT TIME ZONE 'UTC', "
        "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')), 'null'::jsonb)"
    ),
    "json of bytes": "coalesce(to_jsonb(encode({0}, 'hex')), 'null'::jsonb)",
    "json of duration": (
        "coalesce(to_jsonb(CAST(extract(epoch FROM {0}) * 1000000 AS bigint)), 'null'::jsonb)"
    ),
    "json of null": "'null'::jsonb",
    "json column": "coalesce({0}, 'null'::jsonb)",
    "json or null": "NULLIF({0}, 'null'::jsonb)",
    "json literal": "CAST({0} AS jsonb)",
    "json or empty": "coalesce({0}, '[]'::jsonb)",
    "json text": "CAST({0} AS text)",
    "json empty array": "'[]'::jsonb",
    "json get": (
        "CASE WHEN jsonb_typeof({0}) = 'array' THEN (SELECT coalesce("
        "jsonb_agg(e.e -> CAST({1} AS text)), '[]'::jsonb) FROM jsonb_array_elements({0}) "
        "AS e(e) WHERE (e.e -> CAST({1} AS text)) IS NOT NULL) "
        "ELSE {0} -> CAST({1} AS text) END"
    ),
    # One of several keys: what it goes into stands in the text once, and OFFSET keeps the
    # planner from putting it in place of each use.
    "json step": (
        "(SELECT CASE WHEN jsonb_typeof(x.x) = 'array' THEN (SELECT coalesce("
        "jsonb_agg(e.e -> CAST({1} AS text)), '[]'::jsonb) FROM jsonb_array_elements(x.x) "
        "AS e(e) WHERE (e.e -> CAST({1} AS text)) IS NOT NULL) "
        "ELSE x.x -> CAST({1} AS text) END FROM (SELECT {0} AS x OFFSET 0) AS x)"
    ),
    "json rank": (
        "CASE jsonb_typeof({0}) WHEN 'number' THEN 2 WHEN 'string' THEN 3 WHEN 'object' THEN 4 "
        "WHEN 'array' THEN 5 WHEN 'boolean' THEN 6 WHEN 'null' THEN 1 ELSE 0 END"
    ),
    "json key": "{0}",
    "json rest": "{0}",
    "json size": "CASE WHEN jsonb_typeof({0}) = 'array' THEN jsonb_array_length({0}) END",
    "json contains": (
        "coalesce(CASE WHEN jsonb_typeof({1}) = 'array' THEN EXISTS (SELECT 1 FROM "
        "jsonb_array_elements({1}) AS e(e) WHERE e.e = {0}) END, false)"
    ),
    "json truth": ("coalesce({0} NOT IN ('null'::jsonb, 'false'::jsonb, '0'::jsonb), false)"),
    "number of json": "CASE WHEN jsonb_typeof({0}) = 'number' THEN CAST({0} AS numeric) END",
    "text of json": "CASE WHEN jsonb_typeof({0}) = 'string' THEN {0} #>> '{{}}' END",
    "any text of json": "NULLIF({0}, 'null'::jsonb) #>> '{{}}'",
    "bare text of json": "{0} #>> '{{}}'",
    "scalar of json": "{0} #>> '{{}}'",
    "bytes of json": "decode({0} #>> '{{}}', 'hex')",
    "instant of json": "CAST({0} #>> '{{}}' AS timestamp with time zone)",
    "uuid of json": "CAST({0} #>> '{{}}' AS uuid)",
    "duration of json": (
        "make_interval(secs => CAST({0} #>> '{{}}' AS numeric)::double precision / 1000000)"
    ),
    "array": "jsonb_build_array({all})",
    "json list": (
        "CASE jsonb_typeof(coalesce({0}, 'null'::jsonb)) WHEN 'array' THEN {0} "
        "WHEN 'null' THEN '[]'::jsonb ELSE jsonb_build_array({0}) END"
    ),
    "json element": "{0}",
    "json kept": "coalesce({0}, CASE WHEN {1} = 'null'::jsonb THEN {1} END)",
    "json index": "CASE WHEN jsonb_typeof({1}) = 'array' THEN {0} END",
    # Where there is no object to change, the server would refuse to.
    "json set": (
        "CASE WHEN jsonb_typeof({0} #> string_to_array(CAST({4} AS text), chr(1))) "
        "IS DISTINCT FROM 'object' THEN {0} "
        "WHEN {3} IS NULL THEN {0} #- string_to_array(CAST({1} AS text), chr(1)) "
        "ELSE jsonb_set({0}, string_to_array(CAST({1} AS text), chr(1)), {3}) END"
    ),
    "json keep": "{2}",
    "json key of": "({0} -> CAST({1} AS text))",
    "json keep object": "CASE jsonb_typeof({0}) WHEN 'object' THEN {1} WHEN 'array' THEN {2} END",
    "json keep array": (
        "(SELECT coalesce(jsonb_agg({1}), '[]'::jsonb) FROM jsonb_array_elements({0}) "
        "AS {2}(e) WHERE jsonb_typeof({2}.e) = 'object')"
    ),
    "object part": (
        "CASE WHEN {1} IS NULL THEN '{{}}'::jsonb "
        "ELSE jsonb_build_object(CAST({0} AS text), {1}) END"
    ),
    "object join": "({0} || {1})",
    "object": "jsonb_build_object({all})",
    "object empty": "'{{}}'::jsonb",
    "typed": "CAST({0} AS {1})",
    # -------------------------------------------------------------- numbers
    "decimal of int": "CAST({0} AS numeric)",
    "decimal of float": "CAST({0} AS numeric)",
    "decimal of number": "CAST({0} AS numeric)",
    "number of int": "CAST({0} AS numeric)",
    "number of float": "CAST({0} AS numeric)",
    "float of int": "CAST({0} AS double precision)",
    "float of number": "CAST({0} AS double precision)",
    "float of decimal": "CAST({0} AS double precision)",
    "int of float": "CAST({0} AS bigint)",
    "add": "({0} + {1})",
    "subtract": "({0} - {1})",
    "multiply": "({0} * {1})",
    "divide": "({0} / NULLIF({1}, 0))",
    "decimal add": "({0} + {1})",
    "decimal subtract": "({0} - {1})",
    "decimal multiply": "({0} * {1})",
    "decimal divide": ("trim_scale(round(CAST({0} AS numeric(1000, 20)) / NULLIF({1}, 0), 16))"),
    "decimal mod": "mod({0}, NULLIF({1}, 0))",
    "decimal abs": "abs({0})",
    "decimal round": (
        "CASE WHEN abs({0} * power(10::numeric, {1})) % 1 = 0.5 "
        "THEN 2 * round({0} * power(10::numeric, {1}) / 2) / power(10::numeric, {1}) "
        "ELSE round({0}, {1}) END"
    ),
    "decimal key": "{0}",
    "decimal ==": "({0} IS NOT DISTINCT FROM {1})",
    "decimal !=": "({0} IS DISTINCT FROM {1})",
    "decimal <": "({0} < {1})",
    "decimal <=": "({0} <= {1})",
    "decimal >": "({0} > {1})",
    "decimal >=": "({0} >= {1})",
    "int mod": "mod({0}, NULLIF({1}, 0))",
    # By way of text, which has all digits.
    "mod": "mod(CAST(CAST({0} AS text) AS numeric), NULLIF(CAST(CAST({1} AS text) AS numeric), 0))",
    "abs": "abs({0})",
    # ---------------------------------------------------------------- texts
    "ilike": "({0} ILIKE {1} ESCAPE '\\')",
    "concat": "({0} || {1})",
    "upper": "upper({0})",
    "lower": "lower({0})",
    "substr": (
        "substr({0}, {1} + 1, CASE WHEN {2} < 0 THEN greatest(length({0}), 0) ELSE {2} END)"
    ),
    # ---------------------------------------------------------------- times
    "year": "CAST(extract(year FROM {0} AT TIME ZONE 'UTC') AS bigint)",
    "month": "CAST(extract(month FROM {0} AT TIME ZONE 'UTC') AS bigint)",
    "day": "CAST(extract(day FROM {0} AT TIME ZONE 'UTC') AS bigint)",
    "hour": "CAST(extract(hour FROM {0} AT TIME ZONE 'UTC') AS bigint)",
    "minute": "CAST(extract(minute FROM {0} AT TIME ZONE 'UTC') AS bigint)",
    "second": "CAST(floor(extract(second FROM {0} AT TIME ZONE 'UTC')) AS bigint)",
    "weekday": "CAST(extract(dow FROM {0} AT TIME ZONE 'UTC') + 1 AS bigint)",
    "yearday": "CAST(extract(doy FROM {0} AT TIME ZONE 'UTC') AS bigint)",
    "instant of date": "(CAST({0} AS timestamp) AT TIME ZONE 'UTC')",
    "truncate": "date_trunc({0}, {1}, {2})",
    "truncate week": (
        "(date_trunc('week', ({0} AT TIME ZONE {1}) + make_interval(days => CAST({2} AS integer)))"
        " - make_interval(days => CAST({2} AS integer))) AT TIME ZONE {1}"
    ),
    # --------------------------------------------------------- accumulators
    "sum": "sum({0})",
    "sum decimal": "sum({0})",
    "avg": "avg(CAST({0} AS double precision))",
    # The same digits on every database: 16 places, without zeros at the end.
    "avg decimal": (
        "trim_scale(round(sum(CAST({0} AS numeric(1000, 20))) / NULLIF(count({0}), 0), 16))"
    ),
    "deviation of all": "stddev_pop(CAST({0} AS double precision))",
    "deviation of sample": "stddev_samp(CAST({0} AS double precision))",
    "first": "(array_agg({1} ORDER BY {0}))[1]",
    "last": "(array_agg({1} ORDER BY {0} DESC))[1]",
    "least": "(array_agg({0} ORDER BY {0}) FILTER (WHERE {0} IS NOT NULL))[1]",
    "greatest": "(array_agg({0} ORDER BY {0} DESC) FILTER (WHERE {0} IS NOT NULL))[1]",
    "push": "coalesce(jsonb_agg({1} ORDER BY {0}) FILTER (WHERE {1} IS NOT NULL), '[]'::jsonb)",
    "push any": "coalesce(jsonb_agg({0}) FILTER (WHERE {0} IS NOT NULL), '[]'::jsonb)",
    "collect": ("coalesce(jsonb_agg(DISTINCT {0}) FILTER (WHERE {0} IS NOT NULL), '[]'::jsonb)"),
    "json least": (
        '(array_agg({0} ORDER BY {1}, {2}, {3} COLLATE "C", {0}) '
        "FILTER (WHERE NULLIF({0}, 'null'::jsonb) IS NOT NULL))[1]"
    ),
    "json greatest": (
        '(array_agg({0} ORDER BY {1} DESC, {2} DESC, {3} COLLATE "C" DESC, {0} DESC) '
        "FILTER (WHERE NULLIF({0}, 'null'::jsonb) IS NOT NULL))[1]"
    ),
    "json text key": (
        "(CASE WHEN jsonb_typeof({0}) = 'string' THEN {0} #>> '{{}}' END) COLLATE \"C\""
    ),
    "json compare": (
        "CASE WHEN {2} <> {3} THEN sign({2} - {3})::integer "
        # A constant is cast while planning, so each cast has a guard of its own.
        "WHEN {2} = 2 THEN sign("
        "CASE WHEN jsonb_typeof({0}) = 'number' THEN CAST({0} #>> '{{}}' AS numeric) END - "
        "CASE WHEN jsonb_typeof({1}) = 'number' THEN CAST({1} #>> '{{}}' AS numeric) END)::integer "
        "WHEN {2} = 3 THEN CASE WHEN {0} = {1} THEN 0 WHEN ({0} #>> '{{}}') COLLATE \"C\" "
        "< ({1} #>> '{{}}') COLLATE \"C\" THEN -1 ELSE 1 END "
        "WHEN {2} < 2 OR {0} = {1} THEN 0 WHEN {0} < {1} THEN -1 ELSE 1 END"
    ),
}

_SQLITE = {
    # ------------------------------------------------------------ documents
    "json of int": "coalesce(CAST({0} AS TEXT), 'null')",
    "json number of decimal": "coalesce({0}, 'null')",
    "json of decimal": "json_quote({0})",
    "json of uuid": (
        "json_quote(substr({0}, 1, 8) || '-' || substr({0}, 9, 4) || '-' || substr({0}, 13, 4) "
        "|| '-' || substr({0}, 17, 4) || '-' || substr({0}, 21))"
    ),
    "uuid of json": "replace({0} ->> '$', '-', '')",
    "json of text": "json_quote({0})",
    "json of instant": "json_quote(replace({0}, ' ', 'T'))",
    "instant of json": "replace({0} ->> '$', 'T', ' ')",
    "json of bool": "CASE {0} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END",
    "json of bytes": "CASE WHEN {0} IS NULL THEN 'null' ELSE json_quote(lower(hex({0}))) END",
    "json of duration": "coalesce(CAST({0} AS TEXT), 'null')",
    "json of null": "'null'",
    "json column": "coalesce({0}, 'null')",
    "json or null": "NULLIF({0}, 'null')",
    "json literal": "{0}",
    "json rest": "CASE WHEN json_type({0}) NOT IN ('integer', 'real', 'text') THEN {0} END",
    "json or empty": "coalesce({0}, '[]')",
    "json text": "{0}",
    "json empty array": "'[]'",
    "json get": (
        "CASE json_type({0}) WHEN 'object' THEN {0} -> ('$.' || json_quote({1})) "
        "WHEN 'array' THEN dataflow_json_map({0}, {1}) END"
    ),
    "json rank": (
        "CASE json_type({0}) WHEN 'integer' THEN 2 WHEN 'real' THEN 2 WHEN 'text' THEN 3 "
        "WHEN 'object' THEN 4 WHEN 'array' THEN 5 WHEN 'true' THEN 6 WHEN 'false' THEN 6 "
        "WHEN 'null' THEN 1 ELSE 0 END"
    ),
    "json size": "CASE json_type({0}) WHEN 'array' THEN json_array_length({0}) END",
    "json truth": (
        "coalesce(json_type({0}) NOT IN ('null', 'false') AND NOT (json_type({0}) "
        "IN ('integer', 'real') AND json_extract({0}, '$') = 0), 0)"
    ),
    "number of json": (
        "CASE WHEN json_type({0}) IN ('integer', 'real') THEN json_extract({0}, '$') END"
    ),
    "text of json": "CASE json_type({0}) WHEN 'text' THEN json_extract({0}, '$') END",
    "json text key": "CASE json_type({0}) WHEN 'text' THEN json_extract({0}, '$') END",
    "any text of json": "{0} ->> '$'",
    "bare text of json": "{0} ->> '$'",
    "scalar of json": "json_extract({0}, '$')",
    "bytes of json": "dataflow_unhex({0} ->> '$')",
    "duration of json": "json_extract({0}, '$')",
    "json list": (
        "CASE coalesce(json_type({0}), 'null') WHEN 'array' THEN {0} WHEN 'null' THEN '[]' "
        "ELSE json_array(json({0})) END"
    ),
    "json element": (
        "CASE {1} WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' WHEN 'null' THEN 'null' "
        "WHEN 'object' THEN {0} WHEN 'array' THEN {0} WHEN 'real' THEN "
        "dataflow_json_of_float({0}) WHEN 'text' THEN json_quote({0}) "
        "WHEN 'integer' THEN CAST({0} AS TEXT) END"
    ),
    "json kept": "coalesce({0}, CASE WHEN {1} = 'null' THEN 'null' END)",
    "json index": "CASE WHEN json_type({1}) = 'array' THEN {0} END",
    "json set": (
        "CASE WHEN {3} IS NULL THEN json_remove({0}, {2}) ELSE json_set({0}, {2}, json({3})) END"
    ),
    "json keep": "dataflow_json_keep({0}, {1})",
    "array": "dataflow_json_array({all})",
    "object empty": "'{{}}'",
    "typed": "{0}",
    # -------------------------------------------------------------- numbers
    "decimal of int": "CAST({0} AS TEXT)",
    "decimal of float": "dataflow_decimal({0})",
    "decimal of number": "dataflow_decimal({0})",
    "number of int": "{0}",
    "number of float": "{0}",
    "float of int": "CAST({0} AS REAL)",
    "float of number": "CAST({0} AS REAL)",
    "float of decimal": "CAST({0} AS REAL)",
    "int of float": "CAST({0} AS INTEGER)",
    "add": "({0} + {1})",
    "subtract": "({0} - {1})",
    "multiply": "({0} * {1})",
    "divide": "({0} / NULLIF({1}, 0))",
    # A COLLATE inside an expression is that of the whole, so comparisons are calls.
    "decimal key": "({0} COLLATE dataflow_decimal)",
    "decimal ==": ("coalesce(dataflow_decimal_compare({0}, {1}) = 0, {0} IS NULL AND {1} IS NULL)"),
    "decimal !=": (
        "coalesce(dataflow_decimal_compare({0}, {1}) <> 0, {0} IS NOT NULL OR {1} IS NOT NULL)"
    ),
    "decimal <": "(dataflow_decimal_compare({0}, {1}) < 0)",
    "decimal <=": "(dataflow_decimal_compare({0}, {1}) <= 0)",
    "decimal >": "(dataflow_decimal_compare({0}, {1}) > 0)",
    "decimal >=": "(dataflow_decimal_compare({0}, {1}) >= 0)",
    "abs": "abs({0})",
    # ---------------------------------------------------------------- texts
    "ilike": "(dataflow_lower({0}) LIKE dataflow_lower({1}) ESCAPE '\\')",
    "concat": "({0} || {1})",
    "substr": "substr({0}, {1} + 1, CASE WHEN {2} < 0 THEN length({0}) ELSE {2} END)",
    # ---------------------------------------------------------------- times
    "year": "CAST(strftime('%Y', {0}) AS INTEGER)",
    "month": "CAST(strftime('%m', {0}) AS INTEGER)",
    "day": "CAST(strftime('%d', {0}) AS INTEGER)",
    "hour": "CAST(strftime('%H', {0}) AS INTEGER)",
    "minute": "CAST(strftime('%M', {0}) AS INTEGER)",
    "second": "CAST(substr({0}, 18, 2) AS INTEGER)",
    # Cut, because strftime rounds to milliseconds, and may be a day ahead then.
    "weekday": "(CAST(strftime('%w', substr({0}, 1, 19)) AS INTEGER) + 1)",
    "yearday": "CAST(strftime('%j', {0}) AS INTEGER)",
    "instant of date": "({0} || ' 00:00:00.000000+00:00')",
    # --------------------------------------------------------- accumulators
    "sum": "sum({0})",
    "avg": "avg({0})",
    "least": "min({0})",
    "greatest": "max({0})",
    "push any": "dataflow_push(NULL, {0})",
}

WORDS: dict[str, dict[str, str]] = {"postgresql": _POSTGRESQL, "sqlite": _SQLITE}
