package auth

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
)

// accessKeyPrefix begins the access key ids that Weir issues. It has the form of AWS's own (AKIA and 16 more of A-Z2-7), so that clients,
// masks and secret scanners know them for what they are.
const accessKeyPrefix = "AKIAWEIR"

// IssueAWS makes AWS credentials for a key: an access key id of 60 random bits, to be kept in account.Key.AWSAccessKeyID, and the secret
// that belongs to it, to be shown once and never kept.
//
// Credentials belong to the key's record, as its alias does. Rotating the key (another sk-, another hash) leaves them valid; blocking,
// expiry and deletion of the key end them with it; issuing anew ends the former pair at once; and a change of the salt key ends all.
func IssueAWS(saltKey []byte) (id, secret string, err error) {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	id = accessKeyPrefix + base32.StdEncoding.EncodeToString(random[:])[:12]
	secret, err = AWSSecret(saltKey, id)
	return id, secret, err
}

// AWSSecret derives the secret access key of an access key id: 40 characters, as AWS's. It costs three hashes.
func AWSSecret(saltKey []byte, id string) (string, error) {
	if len(saltKey) == 0 {
		return "", errors.New("derive aws secret: no salt key")
	}
	key, err := hkdf.Key(sha256.New, saltKey, nil, "weir/aws-credentials/v1", sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive aws secret: %w", err)
	}
	return base64.StdEncoding.EncodeToString(hmacSHA256(key, "aws-credentials/v1/"+id)[:30]), nil
}
