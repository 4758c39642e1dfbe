package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/nacl/secretbox"
)

// ErrSealed says that a secret can't be read: it was sealed under another salt key, or is damaged.
var ErrSealed = errors.New("the secret was sealed under another salt key, or is damaged")

// sealed begins every sealed text: the way it was sealed.
const sealed = "weir1:"

// Sealer seals the secrets of models and credentials under the installation's salt key, so that a copy of the database gives none away.
// Safe for concurrent use.
type Sealer struct{ aead cipher.AEAD }

// NewSealer derives the key from the salt key, a text of any length but 0 (LITELLM_SALT_KEY, or else the master key).
func NewSealer(saltKey string) (*Sealer, error) {
	if saltKey == "" {
		return nil, errors.New("no salt key: set LITELLM_SALT_KEY or a master key")
	}
	key, err := hkdf.Key(sha256.New, []byte(saltKey), nil, "weir sealed secrets 1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of secrets: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive the key of secrets: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("derive the key of secrets: %w", err)
	}
	return &Sealer{aead}, nil
}

// Seal gives a text that only this salt key opens; the same secret seals differently each time.
func (s *Sealer) Seal(secret string) string {
	return sealed + base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, []byte(secret), nil))
}

// Open gives the secret back; ErrSealed.
func (s *Sealer) Open(text string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, sealed))
	if err != nil || !IsSealed(text) {
		return "", ErrSealed
	}
	secret, err := s.aead.Open(nil, nil, b, nil)
	if err != nil {
		return "", ErrSealed
	}
	return string(secret), nil
}

// IsSealed tells a sealed text from a plain one.
func IsSealed(text string) bool { return strings.HasPrefix(text, sealed) }

// OpenLiteLLM reads a value that LiteLLM encrypted under a salt key; ErrSealed. Those are NaCl's secret box (nonce, box) in base64, or
// with a prefix and a colon AES-256-GCM (nonce, ciphertext, tag), as its FIPS mode writes; the key is the SHA-256 of the salt key.
func OpenLiteLLM(saltKey, text string) (string, error) {
	key := sha256.Sum256([]byte(saltKey))
	_, rest, gcm := strings.Cut(text, ":")
	if !gcm {
		rest = text
	}
	b, err := decode64(rest)
	if err != nil {
		return "", ErrSealed
	}
	open := openBox
	if gcm {
		open = openGCM
	}
	if secret, ok := open(b, &key); ok {
		return secret, nil
	}
	return "", ErrSealed
}

func openBox(b []byte, key *[32]byte) (string, bool) {
	if len(b) < 24+secretbox.Overhead {
		return "", false
	}
	secret, ok := secretbox.Open(nil, b[24:], (*[24]byte)(b[:24]), key)
	return string(secret), ok
}

func openGCM(b []byte, key *[32]byte) (string, bool) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return "", false
	}
	aead, err := cipher.NewGCM(block)
	if err != nil || len(b) < aead.NonceSize() {
		return "", false
	}
	secret, err := aead.Open(nil, b[:aead.NonceSize()], b[aead.NonceSize():], nil)
	return string(secret), err == nil
}

func decode64(text string) ([]byte, error) {
	text = strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(text), "=")
	return base64.RawURLEncoding.DecodeString(text)
}
