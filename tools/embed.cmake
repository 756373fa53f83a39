# SPDX-License-Identifier: Apache-2.0
# Turns a text file into a C array, with nothing but CMake:
#   cmake -DINPUT=x.json -DOUTPUT=x.c -DNAME=pc_x -DVERSION=1.2.3 -P tools/embed.cmake
# @PC_VERSION@ becomes the version; with -DSQUEEZE=ON indentation is left out (a JSON text has no
# line breaks inside strings).
file(READ "${INPUT}" text)
string(REPLACE "@PC_VERSION@" "${VERSION}" text "${text}")
if(SQUEEZE)
  string(REGEX REPLACE "\n +" "\n" text "${text}")
  string(REPLACE "\": " "\":" text "${text}")
endif()
file(WRITE "${OUTPUT}.text" "${text}")
file(READ "${OUTPUT}.text" hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
file(WRITE "${OUTPUT}" "#include \"edge/api/embedded.h\"\nconst unsigned char ${NAME}[] = {\n${bytes}};\nconst size_t ${NAME}_n = sizeof ${NAME};\n")
