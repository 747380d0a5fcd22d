<?php

declare(strict_types=1);

namespace Nivisco\Payments;

/** The version of this client, which is that of the API it was made from. */
final class Version
{
    public const VERSION = '0.1.0';
}
