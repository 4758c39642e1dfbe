package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/fleet"
)

// FleetModels is only in changes: models of the fleet, by their id.
const FleetModels Kind = "fleet_models"

// maxEvents is how many transitions of a model are kept.
const maxEvents = 500

// Fleet keeps the hosted models; it is a fleet.Store. Every change is noted among the changes that replicas follow.
func (s *Store) Fleet() fleet.Store { return fleetStore{s} }

type fleetStore struct{ *Store }

func scanModel(row interface{ Scan(...any) error }) (*fleet.Model, error) {
	var doc string
	var m fleet.Model
	var version int64
	err := row.Scan(&version, &doc)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fleet.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read a model of the fleet: %w", err)
	}
	if err := json.Unmarshal([]byte(doc), &m); err != nil {
		return nil, fmt.Errorf("read a model of the fleet: %w", err)
	}
	m.Version = version
	return &m, nil
}

// Models lists all models, by id.
func (s fleetStore) Models(ctx context.Context) ([]fleet.Model, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT version, doc FROM fleet_models ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list the fleet: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	var out []fleet.Model
	for rows.Next() {
		m, err := scanModel(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, *m)
	}
	return out, rows.Err()
}

// Model is one model; fleet.ErrNotFound.
func (s fleetStore) Model(ctx context.Context, id string) (*fleet.Model, error) {
	return scanModel(s.read.QueryRowContext(ctx, `SELECT version, doc FROM fleet_models WHERE id = $1`, id))
}

// Create adds a model; fleet.ErrExists.
func (s fleetStore) Create(ctx context.Context, m *fleet.Model, events ...fleet.Event) error {
	return s.Edit(ctx, func(e *Edit) error {
		doc, err := json.Marshal(m)
		if err != nil {
			return fmt.Errorf("create model %s: %w", m.ModelID, err)
		}
		result, err := e.tx.ExecContext(ctx, `INSERT INTO fleet_models (id, version, doc) VALUES ($1, 1, $2) ON CONFLICT (id) DO NOTHING`, m.ModelID, string(doc))
		if err != nil {
			return fmt.Errorf("create model %s: %w", m.ModelID, err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(fleet.ErrExists, err)
		}
		m.Version = 1
		return e.fleetEvents(ctx, m.ModelID, events)
	})
}

// Put changes a model that nobody else has changed since it was read; fleet.ErrConflict.
func (s fleetStore) Put(ctx context.Context, m *fleet.Model, events ...fleet.Event) error {
	return s.Edit(ctx, func(e *Edit) error {
		doc, err := json.Marshal(m)
		if err != nil {
			return fmt.Errorf("change model %s: %w", m.ModelID, err)
		}
		result, err := e.tx.ExecContext(ctx, `UPDATE fleet_models SET version = version + 1, doc = $1 WHERE id = $2 AND version = $3`,
			string(doc), m.ModelID, m.Version)
		if err != nil {
			return fmt.Errorf("change model %s: %w", m.ModelID, err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(fleet.ErrConflict, err)
		}
		m.Version++
		return e.fleetEvents(ctx, m.ModelID, events)
	})
}

// Remove forgets a model and its events; fleet.ErrConflict.
func (s fleetStore) Remove(ctx context.Context, m *fleet.Model) error {
	return s.Edit(ctx, func(e *Edit) error {
		result, err := e.tx.ExecContext(ctx, `DELETE FROM fleet_models WHERE id = $1 AND version = $2`, m.ModelID, m.Version)
		if err != nil {
			return fmt.Errorf("remove model %s: %w", m.ModelID, err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(fleet.ErrConflict, err)
		}
		if _, err := e.tx.ExecContext(ctx, `DELETE FROM fleet_events WHERE model_id = $1`, m.ModelID); err != nil {
			return fmt.Errorf("remove model %s: %w", m.ModelID, err)
		}
		return e.fleetEvents(ctx, m.ModelID, nil)
	})
}

// fleetEvents appends events, forgets the oldest and notes that the model changed.
func (e *Edit) fleetEvents(ctx context.Context, id string, events []fleet.Event) error {
	e.changed[Change{FleetModels, id}] = struct{}{}
	for _, ev := range events {
		_, err := e.tx.ExecContext(ctx, `INSERT INTO fleet_events (model_id, seq, at, was, became, reason)
			SELECT $1, COALESCE(MAX(seq), 0) + 1, CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT) FROM fleet_events WHERE model_id = $6`,
			id, ev.At, string(ev.From), string(ev.To), ev.Reason, id)
		if err != nil {
			return fmt.Errorf("note an event of model %s: %w", id, err)
		}
	}
	if len(events) == 0 {
		return nil
	}
	_, err := e.tx.ExecContext(ctx, `DELETE FROM fleet_events WHERE model_id = $1 AND seq <= (SELECT MAX(seq) FROM fleet_events WHERE model_id = $2) - $3`,
		id, id, maxEvents)
	return err
}

// Events lists the last transitions of a model, newest first.
func (s fleetStore) Events(ctx context.Context, id string, limit int) ([]fleet.Event, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT at, was, became, reason FROM fleet_events WHERE model_id = $1 ORDER BY seq DESC LIMIT $2`, id, limit)
	if err != nil {
		return nil, fmt.Errorf("list the events of model %s: %w", id, err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	var out []fleet.Event
	for rows.Next() {
		ev := fleet.Event{ModelID: id}
		if err := rows.Scan(&ev.At, (*string)(&ev.From), (*string)(&ev.To), &ev.Reason); err != nil {
			return nil, fmt.Errorf("list the events of model %s: %w", id, err)
		}
		out = append(out, ev)
	}
	return out, rows.Err()
}
