package api

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

func (a *API) credentialRoutes() []route {
	return []route{
		{"GET", "/credentials", readers, typed(a.credentialList)},
		{"POST", "/credentials", admins, typed(a.credentialNew)},
		{"GET", "/credentials/by_name/{name...}", readers, typed(a.credentialByName)},
		{"GET", "/credentials/by_model/{model_id...}", readers, typed(a.credentialByModel)},
		{"DELETE", "/credentials/{name...}", admins, typed(a.credentialDelete)},
		{"PATCH", "/credentials/{name...}", admins, typed(a.credentialPatch)},
	}
}

const credentialTable = "LiteLLM_CredentialsTable"

type credentialNewIn struct {
	Name    string         `json:"credential_name" need:"true"`
	Display opt[string]    `json:"display_name"`
	Info    jsontext.Value `json:"credential_info" need:"true"`
	Values  jsontext.Value `json:"credential_values"`
	ModelID opt[string]    `json:"model_id"`
}

func (a *API) credentialNew(ctx context.Context, c *caller, in *credentialNewIn) (any, error) {
	values, info, err := credentialObjects(in.Values, in.Info)
	if err != nil {
		return nil, err
	}
	if in.Name == "" {
		return nil, llm.Invalid("credential_name", "credential_name must not be empty")
	}
	row := account.Credential{Name: in.Name, Values: map[string]string{}}
	setDisplay(info, in.Display)
	err = a.edit(ctx, c, func(e *edit) error {
		if id := in.ModelID.or(""); id != "" {
			from, err := e.modelSecrets(ctx, id)
			if err != nil {
				return err
			}
			maps.Copy(from, values)
			values = from
		}
		if len(values) == 0 {
			return llm.Invalid("credential_values", "credential_values or model_id is required")
		}
		if err := e.saveCredential(ctx, &row, values, info, store.Rows[account.Credential].Add); err != nil {
			return err
		}
		return e.audit(ctx, "created", credentialTable, row.Name, nil, a.auditedCredential(&row))
	})
	if err != nil {
		return nil, err
	}
	return object{"success": true, "message": "Credential created successfully"}, nil
}

type credentialPatchIn struct {
	Path    string         `path:"name"`
	Name    opt[string]    `json:"credential_name"`
	Display opt[string]    `json:"display_name"`
	Info    jsontext.Value `json:"credential_info"`
	Values  jsontext.Value `json:"credential_values"`
	Delete  []string       `json:"credential_values_to_delete"`
}

// credentialPatch lays values over those there are, and the info too.
func (a *API) credentialPatch(ctx context.Context, c *caller, in *credentialPatchIn) (any, error) {
	values, info, err := credentialObjects(in.Values, in.Info)
	if err != nil {
		return nil, err
	}
	if name := in.Name.or(""); name != "" && name != in.Path {
		return nil, llm.Invalid("credential_name", "credential_name is %s, but a credential keeps its name, %s", name, in.Path)
	}
	setDisplay(info, in.Display)
	err = a.edit(ctx, c, func(e *edit) error {
		row, err := e.credential(ctx, in.Path)
		if err != nil {
			return err
		}
		before := a.auditedCredential(row)
		_, merged, err := credentialObjects(nil, row.Info)
		if err != nil {
			return err
		}
		maps.Copy(merged, info)
		for _, name := range in.Delete {
			delete(row.Values, name)
		}
		for name, v := range values {
			if old, err := a.Unseal(row.Values[name]); err == nil && (v == masked || v == maskSecret(old)) {
				delete(values, name) // what a listing shows in the secret's place
			}
		}
		if err := e.saveCredential(ctx, row, values, merged, store.Rows[account.Credential].Put); err != nil {
			return err
		}
		return e.audit(ctx, "updated", credentialTable, row.Name, before, a.auditedCredential(row))
	})
	if err != nil {
		return nil, err
	}
	return object{"success": true, "message": "Credential updated successfully"}, nil
}

type credentialNameIn struct {
	Name string `path:"name"`
}

func (a *API) credentialDelete(ctx context.Context, c *caller, in *credentialNameIn) (any, error) {
	err := a.edit(ctx, c, func(e *edit) error {
		row, err := e.credential(ctx, in.Name)
		if err != nil {
			return err
		}
		if _, err := e.Credentials.Delete(ctx, in.Name); err != nil {
			return err
		}
		return e.audit(ctx, "deleted", credentialTable, in.Name, a.auditedCredential(row), nil)
	})
	if err != nil {
		return nil, err
	}
	return object{"success": true, "message": "Credential deleted successfully"}, nil
}

func (a *API) credentialList(ctx context.Context, _ *caller, _ *struct{}) (any, error) {
	rows, _, err := a.Store.Accounts().Credentials.Find(ctx, store.Query{Limit: maxListed})
	if err != nil {
		return nil, err
	}
	out := []object{}
	stored := map[string]bool{}
	for i := range rows {
		out = append(out, a.credentialJSON(&rows[i]))
		stored[rows[i].Name] = true
	}
	for i := range a.Config().Credentials {
		if cred := &a.Config().Credentials[i]; !stored[cred.Name] {
			out = append(out, fileCredential(cred))
		}
	}
	return object{"success": true, "credentials": out}, nil
}

func (a *API) credentialByName(ctx context.Context, _ *caller, in *credentialNameIn) (any, error) {
	row, err := get(ctx, a.Store.Accounts().Credentials, in.Name)
	if err != nil {
		return nil, err
	}
	if row != nil {
		return a.credentialJSON(row), nil
	}
	for i := range a.Config().Credentials {
		if cred := &a.Config().Credentials[i]; cred.Name == in.Name {
			return fileCredential(cred), nil
		}
	}
	return nil, noCredential(in.Name)
}

type credentialModelIn struct {
	ID string `path:"model_id"`
}

// credentialByModel is what a model proves itself with, masked.
func (a *API) credentialByModel(ctx context.Context, _ *caller, in *credentialModelIn) (any, error) {
	values := object{}
	if m, ok := fileModel(a.Config(), in.ID); ok {
		for name, secret := range m.Params.Secrets() {
			values[name] = maskSecret(secret.Reveal())
		}
		return credentialObject(m.Info.ID+"-credential", nil, object{}, values, "config"), nil
	}
	row, err := get(ctx, a.Store.Accounts().Models, in.ID)
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, notFound("model_id", "Model not found. Got model id: %s", in.ID)
	}
	secrets, err := a.secretsOf(row)
	if err != nil {
		return nil, err
	}
	for name, v := range secrets {
		values[name] = maskSecret(v)
	}
	return credentialObject(row.ID+"-credential", nil, object{}, values, "db"), nil
}

// credential is a stored credential; one of the file can't be changed here.
func (e *edit) credential(ctx context.Context, name string) (*account.Credential, error) {
	row, err := get(ctx, e.Credentials, name)
	if err != nil || row != nil {
		return row, err
	}
	for _, cred := range e.a.Config().Credentials {
		if cred.Name == name {
			return nil, llm.Invalid("credential_name", "credential %s stands in the configuration file; change it there", name)
		}
	}
	return nil, noCredential(name)
}

func noCredential(name string) error {
	return &llm.Error{Kind: llm.ErrNotFound, Type: "internal_server_error", Message: "Credential not found. Got credential name: " + name}
}

func (e *edit) saveCredential(ctx context.Context, row *account.Credential, values map[string]string, info map[string]any,
	write func(store.Rows[account.Credential], context.Context, *account.Credential) error) error {
	for name, v := range values {
		sealed, err := e.a.Seal(v)
		if err != nil {
			return fmt.Errorf("seal credential %s: %w", row.Name, err)
		}
		row.Values[name] = sealed
	}
	var err error
	if row.Info, err = encodeObject(info); err != nil {
		return fmt.Errorf("encode credential_info: %w", err)
	}
	e.stamp(&row.Stamp)
	err = write(e.Credentials, ctx, row)
	if errors.Is(err, store.ErrExists) {
		return conflict("credential_name", "a credential named %s exists already", row.Name)
	}
	return err
}

// modelSecrets are a model's own credentials in the clear, to be kept under a name.
func (e *edit) modelSecrets(ctx context.Context, id string) (map[string]string, error) {
	if m, ok := fileModel(e.a.Config(), id); ok {
		out := map[string]string{}
		for name, secret := range m.Params.Secrets() {
			out[name] = secret.Reveal()
		}
		return out, nil
	}
	row, err := get(ctx, e.Models, id)
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, notFound("model_id", "Model not found. Got model id: %s", id)
	}
	return e.a.secretsOf(row)
}

// secretsOf are the texts among a stored model's parameters that are secrets, in the clear.
func (a *API) secretsOf(row *account.Model) (map[string]string, error) {
	params, _, err := modelObjects(row.Params, nil)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, v := range params {
		if s, ok := v.(string); ok && config.SecretParam(name) {
			if out[name], err = a.Unseal(s); err != nil {
				return nil, fmt.Errorf("unseal model %s: %w", row.ID, err)
			}
		}
	}
	return out, nil
}

// credentialObjects splits the two objects of a credential. Values that are no text become JSON text, as a service account may.
func credentialObjects(values, info jsontext.Value) (map[string]string, map[string]any, error) {
	raw, err := objectOf(values, "credential_values")
	if err != nil {
		return nil, nil, err
	}
	i, err := objectOf(info, "credential_info")
	if err != nil {
		return nil, nil, err
	}
	v := map[string]string{}
	for name, value := range raw {
		switch t := value.(type) {
		case nil:
		case string:
			v[name] = t
		default:
			encoded, err := json.Marshal(t, json.Deterministic(true))
			if err != nil {
				return nil, nil, llm.Invalid("credential_values", "credential_values.%s can't be kept", name)
			}
			v[name] = string(encoded)
		}
	}
	return v, i, nil
}

// displayName is where credential_info keeps what people call the credential.
const displayName = "display_name"

func setDisplay(info map[string]any, name opt[string]) {
	if name.Set {
		info[displayName] = text(name.or(""))
	}
}

func (a *API) credentialJSON(row *account.Credential) object {
	values := object{}
	for name, sealed := range row.Values {
		plain, err := a.Unseal(sealed)
		switch {
		case err != nil:
			values[name] = "****"
		case config.SecretParam(name):
			values[name] = maskSecret(plain)
		default:
			values[name] = withoutUserinfo(plain)
		}
	}
	_, info, err := credentialObjects(nil, row.Info)
	if err != nil {
		info = map[string]any{}
	}
	display := info[displayName]
	delete(info, displayName)
	return credentialObject(row.Name, display, info, values, "db")
}

func fileCredential(cred *config.Credential) object {
	values := object{}
	for name, v := range cred.Values {
		values[name] = maskSecret(v.Reveal())
		if !config.SecretParam(name) {
			values[name] = withoutUserinfo(v.Reveal())
		}
	}
	return credentialObject(cred.Name, nil, dict(cred.Info), values, "config")
}

func credentialObject(name string, display any, info map[string]any, values object, source string) object {
	return object{"credential_name": name, "display_name": display, "credential_info": info, "credential_values": values, "source": source}
}

// auditedCredential is a credential for the audit: the names of its values alone.
func (a *API) auditedCredential(row *account.Credential) object {
	return object{"credential_name": row.Name, "credential_info": row.Info, "values": sortedKeys(row.Values)}
}
