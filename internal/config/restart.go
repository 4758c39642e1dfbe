package config

import "reflect"

// startVariables are read at the start only; those of AWS too, where the fleet is on ECS.
var startVariables = []string{"WEIR_MASTER_KEY", "LITELLM_MASTER_KEY", "WEIR_SALT_KEY", "LITELLM_SALT_KEY", "DATABASE_URL", "REDIS_URL", "REDIS_HOST",
	"REDIS_PORT", "REDIS_DB", "REDIS_SSL", "REDIS_USERNAME", "REDIS_PASSWORD"}

var startVariablesECS = []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"}

// NeedsRestart names the settings that only a start reads and that differ between the configuration a process started with and a newer one, in
// the order of the reference.
func (c *Config) NeedsRestart(newer *Config) []string {
	var out []string
	differing(reflect.ValueOf(c).Elem(), reflect.ValueOf(newer).Elem(), "", false, &out)
	names := startVariables
	if c.Fleet.ECS.Cluster != "" {
		names = append(names[:len(names):len(names)], startVariablesECS...)
	}
	for _, name := range names {
		if c.Env(name) != newer.Env(name) {
			out = append(out, "environment_variables."+name)
		}
	}
	return out
}

func differing(a, b reflect.Value, path string, atStart bool, out *[]string) {
	eachField(a.Type(), func(f reflect.StructField, index []int, name string) {
		at, x, y := join(path, name), a.FieldByIndex(index), b.FieldByIndex(index)
		atStart := atStart || f.Tag.Get("start") != ""
		switch {
		case f.Type.Kind() == reflect.Struct:
			differing(x, y, at, atStart, out)
		case atStart && !reflect.DeepEqual(x.Interface(), y.Interface()):
			*out = append(*out, at)
		}
	})
}
