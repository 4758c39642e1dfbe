package config

import (
	"maps"
	"reflect"
	"slices"
)

// ReferenceEntry documents one key.
type ReferenceEntry struct {
	Path      string // weir.timeouts.connect; [] marks a list, * a mapping with free keys
	Type      string
	Default   string // empty: none
	Doc       string
	Effective bool // false: accepted, but without effect yet
	AtStart   bool // a reload changes nothing
}

// Reference lists every key there is, sections in the struct's order, keys that have no effect yet after those that have.
func Reference() []ReferenceEntry {
	var out []ReferenceEntry
	reference(reflect.TypeFor[Config](), "", false, &out)
	for _, section := range slices.Sorted(maps.Keys(laterKeys)) {
		for _, key := range slices.Sorted(maps.Keys(laterKeys[section])) {
			path := join(section, key)
			if section == "model_list.litellm_params" {
				path = "model_list[].litellm_params." + key
			}
			out = append(out, ReferenceEntry{Path: path, Type: "any", Doc: laterKeys[section][key]})
		}
	}
	return out
}

func reference(t reflect.Type, path string, atStart bool, out *[]ReferenceEntry) {
	eachField(t, func(f reflect.StructField, _ []int, name string) {
		at, atStart := join(path, name), atStart || f.Tag.Get("start") != ""
		*out = append(*out, ReferenceEntry{Path: at, Type: typeName(f.Type), Default: f.Tag.Get("default"), Doc: f.Tag.Get("doc"),
			Effective: f.Tag.Get("later") == "", AtStart: atStart})
		switch elem := f.Type; {
		case elem.Kind() == reflect.Struct:
			reference(elem, at, atStart, out)
		case elem.Kind() == reflect.Slice && elem.Elem().Kind() == reflect.Struct:
			reference(elem.Elem(), at+"[]", atStart, out)
		case elem.Kind() == reflect.Map && elem.Elem().Kind() == reflect.Struct:
			reference(elem.Elem(), at+".*", atStart, out)
		}
	})
}

func typeName(t reflect.Type) string {
	switch {
	case t == durationType:
		return "duration"
	case t == reflect.TypeFor[Secret]():
		return "secret"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Map:
		return "mapping to " + typeName(t.Elem())
	case reflect.Struct:
		return "mapping"
	case reflect.Int64, reflect.Int:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Bool:
		return "boolean"
	case reflect.Interface:
		return "any"
	}
	return "string"
}
