package gateway

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/test/gwtest"
)

// TestReload_restart holds that a reload names the settings that were changed and that only a start reads, without their values, and no others.
func TestReload_restart(t *testing.T) {
	g := gwtest.Start(t, `
general_settings: {master_key: sk-one}
litellm_settings: {drop_params: true}
`)
	named := func() []string {
		t.Helper()
		before := len(g.Log.String())
		g.App.Reload("test")
		var out []string
		for _, m := range regexp.MustCompile(`level=WARN msg="[^"]*start[^"]*" setting=(\S+)`).FindAllStringSubmatch(g.Log.String()[before:], -1) {
			out = append(out, m[1])
		}
		return out
	}
	g.WriteConfig(t, `
general_settings: {master_key: sk-other-secret, max_parallel_requests: 7, database_url: "postgres://nobody:hush@127.0.0.1/x"}
litellm_settings: {drop_params: false, timezone: Europe/Berlin}
router_settings: {redis_url: "redis://:hush@127.0.0.1:1"}
fleet:
  host: ecs
  wake_timeout: 1m
  deadlines: {drain: 7s}
  process: {profiles: {mine: {command: [mine]}}}
weir:
  admin_listen: 127.0.0.1:0
  timeouts: {connect: 3s, client: 3s}
environment_variables: {WEIR_SALT_KEY: hush, OPENAI_API_KEY: sk-hush}
`)
	want := strings.Fields(`environment_variables.WEIR_SALT_KEY fleet.deadlines.drain fleet.host fleet.process.profiles general_settings.database_url
		general_settings.master_key litellm_settings.timezone router_settings.redis_url weir.admin_listen weir.timeouts.client`)
	for range 2 { // what the process runs with is what counts, not the file before
		got := named()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("named %v, want %v", got, want)
		}
	}
	if strings.Contains(g.Log.String(), "hush") || strings.Contains(g.Log.String(), "sk-other-secret") {
		t.Error("the log has a secret")
	}
	g.WriteConfig(t, "litellm_settings: {drop_params: false}\ngeneral_settings: {master_key: sk-one}\n")
	if got := named(); len(got) != 0 {
		t.Errorf("named %v when all is as it was", got)
	}
}
