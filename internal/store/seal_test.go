package store_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/store"
)

func TestSealer(t *testing.T) {
	s, err := store.NewSealer("sk-salt")
	if err != nil {
		t.Fatal(err)
	}
	other, err := store.NewSealer("sk-pepper")
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"", "sk-up-secret", strings.Repeat("long ", 1000), "\x00\xff"} {
		text := s.Seal(secret)
		if got, err := s.Open(text); err != nil || got != secret || !store.IsSealed(text) {
			t.Errorf("%q: %q, %v", secret, got, err)
		}
		if len(secret) > 3 && strings.Contains(text, secret) || text == s.Seal(secret) {
			t.Errorf("%q is sealed as %q", secret, text)
		}
		if _, err := other.Open(text); !errors.Is(err, store.ErrSealed) {
			t.Errorf("another salt key opens it: %v", err)
		}
		b := []byte(text)
		b[len(b)/2] ^= 1
		if _, err := s.Open(string(b)); !errors.Is(err, store.ErrSealed) {
			t.Errorf("damaged: %v", err)
		}
	}
	if _, err := s.Open("sk-plain"); !errors.Is(err, store.ErrSealed) {
		t.Errorf("plain: %v", err)
	}
	if _, err := store.NewSealer(""); err == nil {
		t.Error("no salt key was taken")
	}
}

// TestOpenLiteLLM opens what LiteLLM 1.106.2 wrote with the salt key sk-salt.
func TestOpenLiteLLM(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got, err := store.OpenLiteLLM("sk-salt", text); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
		if got, err := store.OpenLiteLLM("sk-other", text); !errors.Is(err, store.ErrSealed) {
			t.Errorf("%q under another key: %q, %v", text, got, err)
		}
	}
	f("AtQu-nNzO0yEfELW46oNVnkaGDyaMpwmkvxaLEUcP57HWKtFuUwW41eFXvTeqATaB-bHHg==", "sk-up-secret")
	f("ALTaNTcNfjuJrCXZ9kLVs7sPOP6G7wopU-j0g-7QWJgzKWOh3fD98CFLDxakL4ifqz06Cxve", "sk-cred-secret")
	f(strings.NewReplacer("-", "+", "_", "/").Replace("AtQu-nNzO0yEfELW46oNVnkaGDyaMpwmkvxaLEUcP57HWKtFuUwW41eFXvTeqATaB-bHHg=="), "sk-up-secret")

	key := sha256.Sum256([]byte("sk-salt"))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	f("aes256gcm:"+base64.URLEncoding.EncodeToString(gcm.Seal(nil, nil, []byte("sk-fips"), nil)), "sk-fips")
	for _, text := range []string{"", "sk-plain", "v2:", "v2:AAAA", "AtQu-nNzO0yEfELW46oNVnkaGDyaMpwmkvxaLEUcP57HWKtFuUwW41eFXvTeqATaB-bHHw=="} {
		if got, err := store.OpenLiteLLM("sk-salt", text); !errors.Is(err, store.ErrSealed) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	s, err := store.NewSealer("sk-salt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Seal("secret"))
	f.Add("AtQu-nNzO0yEfELW46oNVnkaGDyaMpwmkvxaLEUcP57HWKtFuUwW41eFXvTeqATaB-bHHg==")
	f.Add("aes256gcm:AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := s.Open(text); err != nil && !errors.Is(err, store.ErrSealed) {
			t.Error(err)
		}
		if _, err := store.OpenLiteLLM("sk-salt", text); err != nil && !errors.Is(err, store.ErrSealed) {
			t.Error(err)
		}
	})
}
