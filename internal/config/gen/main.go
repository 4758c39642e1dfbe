// Command gen writes docs/configuration.md from the configuration's types.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
)

const head = `# Configuration

Generated from the types of ` + "`internal/config`" + ` by ` + "`make generate`" + `; don't edit. The file is LiteLLM's ` + "`config.yaml`" + `, with a ` + "`weir`" + ` section beside it.
Any value may be ` + "`os.environ/NAME`" + `. A duration is a number of seconds or a text like ` + "`30s`" + `. ` + "`weir config check FILE`" + ` says what is wrong with a file, with lines.

` + "```yaml" + `
model_list:
- model_name: gpt                     # what clients ask for; openai/* and the like stand for many
  litellm_params:
    model: openai/gpt-4o-mini         # provider/model
    api_key: os.environ/OPENAI_API_KEY
litellm_settings:
  drop_params: true
general_settings:
  master_key: os.environ/WEIR_MASTER_KEY
weir:
  keys:
  - {key: os.environ/ALICE_KEY, key_alias: alice, models: [gpt]}
` + "```" + `

`

func main() {
	var effective, later strings.Builder
	for _, e := range config.Reference() {
		if e.AtStart {
			e.Doc += "; a change needs a restart"
		}
		line := fmt.Sprintf("| `%s` | %s | %s | %s |\n", e.Path, e.Type, orDash(e.Default), strings.ReplaceAll(e.Doc, "|", "\\|"))
		if e.Effective {
			effective.WriteString(line)
		} else {
			later.WriteString(fmt.Sprintf("| `%s` | %s |\n", e.Path, strings.ReplaceAll(orDash(e.Doc), "|", "\\|")))
		}
	}
	text := head + "## Settings\n\n| key | type | default | what it does |\n|---|---|---|---|\n" + effective.String() +
		"\n## Accepted, without effect yet\n\nThese are LiteLLM's; Weir reads them without complaint and, so far, does nothing with them. `weir config check` lists those a file uses.\n\n" +
		"| key | what it will do |\n|---|---|\n" + later.String()
	if err := os.WriteFile("../../docs/configuration.md", []byte(text), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
