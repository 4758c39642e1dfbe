package api

import (
	"context"

	"github.com/weir-gateway/weir/internal/account"
)

func (a *API) userRoutes() []route {
	return []route{
		{"GET", "/user/available_roles", anyone, typed(a.userRoles)},
	}
}

// userRoles tells which roles there are, for forms.
func (a *API) userRoles(context.Context, *caller, *struct{}) (any, error) {
	role := func(label, description string) object { return object{"ui_label": label, "description": description} }
	return object{
		account.ProxyAdmin:         role("Admin (All Permissions)", "admin over the gateway, has all permissions"),
		account.ProxyAdminViewer:   role("Admin (View Only)", "view all keys, view all spend"),
		account.InternalUser:       role("Internal User (Create/Delete/View)", "view/create/delete their own keys, view their own spend"),
		account.InternalUserViewer: role("Internal User (View Only)", "view their own keys, view their own spend"),
	}, nil
}
