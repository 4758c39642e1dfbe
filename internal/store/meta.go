package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Meta is a named value of the installation; ErrNotFound if it was never set.
func (s *Store) Meta(ctx context.Context, name string) (string, error) {
	var value string
	err := s.read.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = $1`, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("read meta %q: %w", name, err)
	}
	return value, nil
}

// SetMeta sets a named value.
func (s *Store) SetMeta(ctx context.Context, name, value string) error {
	_, err := s.write.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
		name, value)
	if err != nil {
		return fmt.Errorf("set meta %q: %w", name, err)
	}
	return nil
}
