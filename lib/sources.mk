# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
lib_SRCS := $(wildcard lib/*.c)
lib_PKGS := libnl-route-3.0 libmicrohttpd libcurl jansson libcyaml yaml-0.1 libpcap gnutls zlib
