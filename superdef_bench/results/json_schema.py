"""The JSON Schema of results files, made of the models that read them. No torch.

`make schema` writes it into docs/results.schema.json; the schema says what this version writes,
while the loader also takes what a later one adds.
"""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from superdef_bench.results.facts import SCHEMA, Machine, Model
from superdef_bench.results.schema import CostRow, QualityResults, Results

_OPEN = (CostRow, Machine)  # models that say what else may stand in them


class _Generator(GenerateJsonSchema):
    """Plain types where they can be: a message then names the type that a value has not."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        inner = self.generate_inner(schema["schema"])
        if "$ref" in inner:  # a part that is left out, never null
            return inner
        if isinstance(inner.get("type"), str):
            words = {"enum": [*inner["enum"], None]} if "enum" in inner else {}
            return {**inner, **words, "type": [inner["type"], "null"]}
        return super().nullable_schema(schema)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])  # what is left out says nothing

    def union_schema(self, schema: core_schema.UnionSchema) -> JsonSchemaValue:
        found = super().union_schema(schema)
        kinds = [part.get("type") for part in found.get("anyOf", ()) if len(part) == 1]
        return {"type": kinds} if kinds and len(kinds) == len(found["anyOf"]) else found

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        found.pop("title", None)
        if issubclass(schema["cls"], Model) and schema["cls"] not in _OPEN:
            found["additionalProperties"] = False
        return found


def results_schema() -> dict[str, Any]:
    """Return the JSON Schema of a results file, of accuracy or of quality."""
    models = [(model, "validation") for model in (Results, QualityResults)]
    _, found = models_json_schema(models, by_alias=True, schema_generator=_Generator)  # type: ignore[arg-type]  # the mode is one of its words
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:superdef-bench:results:{SCHEMA}",
        "title": f"Results of superdef-bench, schema {SCHEMA}",
        "description": "What each key means: results-format.md. Keys that are not named here are "
        "errors, but where a description says that others may stand.",
        "if": {"required": ["quality"]},
        "then": {"$ref": f"#/$defs/{QualityResults.__name__}"},
        "else": {"$ref": f"#/$defs/{Results.__name__}"},
        "$defs": found["$defs"],
    }


if __name__ == "__main__":
    print(json.dumps(results_schema(), indent=1))
