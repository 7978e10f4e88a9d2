/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pki_inspect.c - what a certificate says, and whether its CA stands behind it; see pki.h. */

#include "lib/pki.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/pki_file.h"

#define SAN_BYTES_MAX 256 /* a DNS name has at most 253 */

static void hex_format(const unsigned char *data, size_t size, char *ret)
{
	for (size_t i = 0; i < size; i++)
		sprintf(ret + 2 * i, "%02x", data[i]);
	ret[2 * size] = '\0';
}

/* Appends "," and a name; false if it doesn't fit: then the text ends in "...". */
static bool san_append(char *text, size_t size, const char *san)
{
	size_t used = strlen(text);

	if (used + strlen(san) + sizeof(",...") > size) {
		memcpy(text + used, "...", sizeof("..."));
		return false;
	}
	snprintf(text + used, size - used, "%s%s", used ? "," : "", san);
	return true;
}

static void sans_format(gnutls_x509_crt_t crt, char *text, size_t text_size)
{
	text[0] = '\0';
	for (unsigned int i = 0; i < PKI_SANS_MAX * 2; i++) {
		char raw[SAN_BYTES_MAX], name[INET6_ADDRSTRLEN];
		size_t size = sizeof(raw) - 1;
		int kind = gnutls_x509_crt_get_subject_alt_name(crt, i, raw, &size, NULL);

		if (kind < 0 && kind != GNUTLS_E_SHORT_MEMORY_BUFFER)
			return; /* the last one was read */
		if (kind == GNUTLS_SAN_IPADDRESS && (size == 4 || size == 16))
			inet_ntop(size == 4 ? AF_INET : AF_INET6, raw, name, sizeof(name));
		if (kind == GNUTLS_SAN_DNSNAME)
			raw[size] = '\0';
		if (kind != GNUTLS_SAN_DNSNAME && kind != GNUTLS_SAN_IPADDRESS)
			continue; /* not one of ours */
		if (!san_append(text, text_size, kind == GNUTLS_SAN_DNSNAME ? raw : name))
			return;
	}
}

static void key_format(gnutls_x509_crt_t crt, char *text, size_t size)
{
	unsigned int bits = 0;
	int algorithm = gnutls_x509_crt_get_pk_algorithm(crt, &bits);
	gnutls_ecc_curve_t curve;

	if (algorithm == GNUTLS_PK_ECDSA &&
	    gnutls_x509_crt_get_pk_ecc_raw(crt, &curve, NULL, NULL) >= 0)
		snprintf(text, size, "ECDSA %s", gnutls_ecc_curve_get_name(curve));
	else
		snprintf(text, size, "%s %u", gnutls_pk_get_name((gnutls_pk_algorithm_t)algorithm),
			 bits);
}

/* A foreign certificate may have no common name, or one longer than ours: then it stays empty. */
static void names_format(gnutls_x509_crt_t crt, struct pki_info *info)
{
	size_t size = sizeof(info->subject);

	if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, info->subject,
					  &size) < 0)
		info->subject[0] = '\0';
	size = sizeof(info->issuer);
	if (gnutls_x509_crt_get_issuer_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0,
						 info->issuer, &size) < 0)
		info->issuer[0] = '\0';
}

int pki_inspect(const char *path, struct pki_info *ret, struct ff_error *err)
{
	_cleanup_(pki_crt_deinit) gnutls_x509_crt_t crt = NULL;
	unsigned char serial[20], digest[32];
	size_t serial_size = sizeof(serial), digest_size = sizeof(digest);
	struct pki_info info = {};
	int r;

	r = pki_crt_load(path, &crt, err);
	if (r < 0)
		return r;
	if ((r = gnutls_x509_crt_get_serial(crt, serial, &serial_size)) < 0 ||
	    (r = gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, digest, &digest_size)) < 0)
		return error_set(err, EBADMSG, "bad-request", "name another certificate",
				 "can't read certificate %s: %s", path, gnutls_strerror(r));
	hex_format(serial, serial_size, info.serial);
	hex_format(digest, digest_size, info.sha256);
	names_format(crt, &info);
	sans_format(crt, info.sans, sizeof(info.sans));
	key_format(crt, info.key, sizeof(info.key));
	info.not_before = gnutls_x509_crt_get_activation_time(crt);
	info.not_after = gnutls_x509_crt_get_expiration_time(crt);
	info.ca = gnutls_x509_crt_get_ca_status(crt, NULL) > 0;
	*ret = info;
	return 0;
}

int pki_verify(const char *path, const char *ca_path, struct ff_error *err)
{
	_cleanup_(pki_crt_deinit) gnutls_x509_crt_t crt = NULL;
	_cleanup_(pki_crt_deinit) gnutls_x509_crt_t ca = NULL;
	_cleanup_(pki_datum_wipe) gnutls_datum_t why = {};
	unsigned int status = 0;
	int r;

	if ((r = pki_crt_load(path, &crt, err)) < 0 || (r = pki_crt_load(ca_path, &ca, err)) < 0)
		return r;
	r = gnutls_x509_crt_list_verify(&crt, 1, &ca, 1, NULL, 0, 0, &status);
	if (r < 0)
		return error_set(err, EBADMSG, "bad-request", "name another certificate",
				 "can't check %s: %s", path, gnutls_strerror(r));
	if (!status)
		return 0;
	r = gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &why, 0);
	return error_set(err, EPERM, "refused", "issue a new one with `flowferry pki issue`",
			 "%s isn't valid under %s: %s", path, ca_path,
			 r < 0 ? "not trusted" : (const char *)why.data);
}
