package main

import (
	"context"
	"errors"
	"io"

	"github.com/weir-gateway/weir/internal/app"
)

// importCommand is `weir import litellm`.
func importCommand(ctx context.Context, args []string, stdout, stderr io.Writer, env func(string) string) error {
	if len(args) == 0 || args[0] != "litellm" {
		return errors.New("use: weir import litellm --database-url postgres://HOST/DATABASE")
	}
	f := newFlags("import litellm", stderr, env)
	o := app.ImportOptions{Env: env}
	f.StringVar(&o.DatabaseURL, "database-url", "", "LiteLLM's database, which is only read; where Weir's own is, DATABASE_URL or --data-dir say as ever")
	f.StringVar(&o.DataDir, "data-dir", "", "Weir's data directory (default weir-data)")
	f.StringVar(&o.ConfigPath, "config", "", "Weir's configuration, if it names a database, data directory or master key")
	f.StringVar(&o.SaltKey, "salt-key", "", "LiteLLM's salt key; better set as LITELLM_SALT_KEY (default: its master key)")
	if err := f.parse(args[1:]); err != nil {
		return err
	}
	if o.DatabaseURL == "" {
		return errors.New("--database-url is missing: the postgres:// address of LiteLLM's database")
	}
	report, err := app.ImportLiteLLM(ctx, o)
	if err != nil {
		return err
	}
	return report.Write(stdout)
}
