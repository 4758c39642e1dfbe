package store

import (
	"context"
	"fmt"
)

// Version is the number of the newest migration that the database has.
func (s *Store) Version(ctx context.Context) (int64, error) {
	var v int64
	if err := s.read.QueryRowContext(ctx, `SELECT MAX(version_id) FROM goose_db_version`).Scan(&v); err != nil {
		return 0, fmt.Errorf("read the database's version: %w", err)
	}
	return v, nil
}
