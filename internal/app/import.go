package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/api"
	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/internal/store/litellm"
)

// ImportOptions say what ImportLiteLLM reads and where it writes.
type ImportOptions struct {
	ConfigPath  string
	DataDir     string
	DatabaseURL string // LiteLLM's
	SaltKey     string // LiteLLM's; empty: LITELLM_SALT_KEY, else LITELLM_MASTER_KEY, else our master key
	Env         func(string) string
}

// ImportLiteLLM brings the database of a LiteLLM proxy over into ours. No Weir may run on the data directory meanwhile.
func ImportLiteLLM(ctx context.Context, o ImportOptions) (report *litellm.Report, err error) {
	cfg, _, err := loadConfig(o.ConfigPath, o.Env)
	if err != nil {
		return nil, err
	}
	a := &App{o: Options{ConfigPath: o.ConfigPath, DataDir: o.DataDir, Env: o.Env}}
	a.cfg.Store(cfg)
	if err := os.MkdirAll(a.dataDir(), 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	lock, err := lockDir(ctx, a.dataDir())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := a.chooseMasterKey(); err != nil {
		return nil, err
	}
	if err := a.chooseSaltKey(); err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, a.databaseURL(), store.Options{})
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, key := range []string{cfg.Env("LITELLM_SALT_KEY"), cfg.Env("LITELLM_MASTER_KEY"), a.masterKey} {
		if o.SaltKey == "" {
			o.SaltKey = key
		}
	}
	seal := func(text string) (string, error) { return a.sealer.Seal(text), nil }
	return litellm.Import(ctx, s, litellm.Options{DatabaseURL: o.DatabaseURL, SaltKey: o.SaltKey, Seal: seal, Now: time.Now(),
		SealParams: func(params jsontext.Value) (jsontext.Value, error) { return api.SealParams(params, seal) }})
}
