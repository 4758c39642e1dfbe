package app

import (
	"context"
	"fmt"

	"path/filepath"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/egress"
	"github.com/weir-gateway/weir/internal/provider"
	"github.com/weir-gateway/weir/internal/store"
)

// Check reads a configuration and builds everything it describes, without opening or calling anything, and says what is wrong with it.
func Check(path string, env func(string) string) ([]config.Problem, error) {
	cfg, problems, err := config.Load(path, env)
	if err != nil {
		return problems, err
	}
	prices, err := loadPrices(cfg.Weir.PriceMap)
	if err != nil {
		return problems, err
	}
	a := &App{o: Options{ConfigPath: path}, masterKey: "check", saltKey: []byte("check"), prices: prices,
		factory: provider.Factory{Env: cfg.Env, HTTP: doer{egress.New(egress.Options{})}, Now: time.Now}}
	a.cfg.Store(cfg)
	a.accounts.dir = auth.NewDirectory(auth.Options{}, auth.Rows{})
	_, more, err := a.snapshot(cfg)
	return append(problems, more...), err
}

// Migrate brings the database of a configuration up to date and gives its schema version.
func Migrate(ctx context.Context, configPath, dataDir string, env func(string) string) (int64, error) {
	cfg, _, err := loadConfig(configPath, env)
	if err != nil {
		return 0, err
	}
	a := &App{o: Options{DataDir: dataDir}}
	a.cfg.Store(cfg)
	s, err := store.Open(ctx, a.databaseURL(), store.Options{})
	if err != nil {
		return 0, fmt.Errorf("open the database: %w", err)
	}
	defer s.Close()
	return s.Version(ctx)
}

// databaseURL is where the database is: the configuration's address, the environment's, or a file in the data directory.
func (a *App) databaseURL() string {
	if url := a.Config().General.DatabaseURL.Reveal(); url != "" {
		return url
	}
	if url := a.Config().Env("DATABASE_URL"); url != "" {
		return url
	}
	return filepath.Join(a.dataDir(), "weir.db")
}
