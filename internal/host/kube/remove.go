package kube

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Delete removes everything of a model: first what would make pods anew, last the Service by which it is listed.
func (h *Host) Delete(ctx context.Context, id string) (bool, error) {
	m := h.models.Hold(id)
	defer m.Unlock()
	m.Forget()
	m.State.applied = nil
	w := h.work(id, &m.State)
	if done, err := w.remove(ctx); err != nil || !done {
		if err != nil {
			err = fmt.Errorf("kube host: delete: %w", err)
		}
		return false, err
	}
	return true, nil
}

func (w *work) remove(ctx context.Context) (bool, error) {
	if done, err := w.unfollow(ctx); err != nil || !done {
		return false, err
	}
	clear := true
	for _, f := range workloads {
		done, err := w.drop(ctx, f.kind)
		if err != nil {
			return false, err
		}
		clear = clear && done
	}
	if !clear {
		return false, nil
	}
	left, err := w.list(ctx, pods, w.chosen())
	if err != nil || len(left) > 0 {
		return false, err
	}
	for _, k := range []kind{budgets, services} {
		if done, err := w.drop(ctx, k); err != nil || !done {
			return false, err
		}
	}
	return true, nil
}

// drop deletes the model's object of a kind; done is true when there is none. What belongs to it goes before it.
func (w *work) drop(ctx context.Context, k kind) (done bool, err error) {
	if k.optional {
		if ok, err := w.knows(ctx, k); err != nil || !ok {
			return err == nil, err
		}
	}
	u, err := w.get(ctx, k)
	if err != nil {
		return false, err
	}
	if u == nil || u.GetLabels()[labelOwner] != w.o.NamePrefix { // another's, which happens to be called the same, stays
		return true, nil
	}
	if u.GetDeletionTimestamp() != nil {
		return false, nil
	}
	id := u.GetUID()
	err = w.client.Resource(k.GroupVersionResource).Namespace(w.o.Namespace).Delete(ctx, w.name+k.suffix,
		metav1.DeleteOptions{PropagationPolicy: &foreground, Preconditions: &metav1.Preconditions{UID: &id}})
	if err != nil && !gone(err) && !apierrors.IsConflict(err) {
		return false, fmt.Errorf("%s: %w", k.name, err)
	}
	return false, nil
}
